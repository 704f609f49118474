/** What every eviction policy must do, whatever its order. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { EvictionCandidate, EvictionPolicy } from '../../src/cache/eviction-policy.ts'
import type { Demand } from '../../src/cache/ledger.ts'
import { Ledger } from '../../src/cache/ledger.ts'
import { bytesOf } from '../support/cache-invariants.ts'

const NOW = 100_000

/** A ledger in which every demand is resident, with the candidates in order of last use. */
function resident(demands: readonly Demand[]): { ledger: Ledger; candidates: EvictionCandidate[] } {
  const ledger = new Ledger(Number.MAX_SAFE_INTEGER)
  const candidates = demands.map((demand, i) => {
    const key = `m${i}`
    ledger.request(key, demand)
    ledger.grant(key)
    ledger.settle(key, demand)
    return { key, knownSince: 0, lastUsedAt: i, uses: 1 + (i % 5), loadMs: 10 }
  })
  return { ledger, candidates }
}

const someDemands = fc.array(
  fc.record({
    privateBytes: fc.nat(50),
    activationBytes: fc.nat(10),
    // Three backbones that are shared, and a head of its own.
    backbone: fc.constantFrom(0, 1, 2),
    head: fc.nat(30),
  }),
  { minLength: 1, maxLength: 20 },
)

function demandsOf(
  specs: readonly { privateBytes: number; activationBytes: number; backbone: number; head: number }[],
) {
  return specs.map(({ privateBytes, activationBytes, backbone, head }, i) => ({
    privateBytes,
    activationBytes,
    blobs: [
      { digest: `backbone-${backbone}`, bytes: 100 * (backbone + 1) },
      { digest: `head-${i}`, bytes: head },
    ],
  }))
}

export function evictionPolicyContract(policy: EvictionPolicy): void {
  describe(`the eviction policy ${policy.name}`, () => {
    it('evicts nobody when nothing is needed', () => {
      const { ledger, candidates } = resident(
        demandsOf([{ privateBytes: 5, activationBytes: 0, backbone: 0, head: 1 }]),
      )
      assert.deepEqual(policy.chooseVictims({ candidates, needBytes: 0, gains: ledger.gains(), now: NOW }), [])
    })

    it('says so when all candidates together do not gain enough', () => {
      const demands = demandsOf([
        { privateBytes: 5, activationBytes: 1, backbone: 0, head: 1 },
        { privateBytes: 5, activationBytes: 1, backbone: 0, head: 1 },
      ])
      const { ledger, candidates } = resident(demands)
      const all = bytesOf(demands)
      const ask = (needBytes: number) =>
        policy.chooseVictims({ candidates, needBytes, gains: ledger.gains(), now: NOW })
      assert.equal(ask(all + 1), undefined)
      assert.equal(ask(all)?.length, 2)
    })

    it('gains what is needed with a set of which nobody could stay, counting shared bytes with their last holder', () => {
      fc.assert(
        fc.property(someDemands, fc.nat(1500), (specs, needBytes) => {
          const demands = demandsOf(specs)
          const { ledger, candidates } = resident(demands)
          const victims = policy.chooseVictims({ candidates, needBytes, gains: ledger.gains(), now: NOW })
          const all = bytesOf(demands)
          const gainWithout = (gone: ReadonlySet<string>) => all - bytesOf(demands.filter((_, i) => !gone.has(`m${i}`)))
          if (victims === undefined) return assert.ok(all < needBytes)
          assert.equal(new Set(victims).size, victims.length)
          assert.ok(gainWithout(new Set(victims)) >= needBytes)
          for (const spared of victims) {
            assert.ok(gainWithout(new Set(victims.filter((key) => key !== spared))) < needBytes, `${spared} could stay`)
          }
        }),
      )
    })
  })
}
