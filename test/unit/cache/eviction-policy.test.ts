import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { EvictionCandidate } from '../../../src/cache/eviction-policy.ts'
import { lru, slru } from '../../../src/cache/eviction-policy.ts'
import { evictionPolicyContract } from '../../contract/eviction-policy.contract.ts'

evictionPolicyContract(lru)
evictionPolicyContract(slru)

function gainsOf(bytesByKey: Readonly<Record<string, number>>) {
  let bytes = 0
  return {
    get bytes() {
      return bytes
    },
    add: (key: string) => (bytes += bytesByKey[key] ?? 0),
    remove: (key: string) => (bytes -= bytesByKey[key] ?? 0),
  }
}

function coldestFirst(...keys: string[]): EvictionCandidate[] {
  return keys.map((key, i) => ({ key, knownSince: 0, lastUsedAt: i, uses: 1, loadMs: 1 }))
}

describe('least recently used', () => {
  it('takes the coldest that suffice', () => {
    const gains = gainsOf({ a: 10, b: 10, c: 10 })
    assert.deepEqual(lru.chooseVictims({ candidates: coldestFirst('a', 'b', 'c'), needBytes: 15, gains, now: 9 }), [
      'a',
      'b',
    ])
  })

  it('spares a small cold one when a larger one behind it suffices alone', () => {
    const gains = gainsOf({ small: 5, large: 100, warm: 100 })
    const candidates = coldestFirst('small', 'large', 'warm')
    assert.deepEqual(lru.chooseVictims({ candidates, needBytes: 50, gains, now: 9 }), ['large'])
  })

  it('reads no further than it must', () => {
    let read = 0
    function* endless(): Iterable<EvictionCandidate> {
      for (; ; read++) yield { key: 'a', knownSince: 0, lastUsedAt: read, uses: 1, loadMs: 1 }
    }
    lru.chooseVictims({ candidates: endless(), needBytes: 30, gains: gainsOf({ a: 10 }), now: 9 })
    assert.equal(read, 2)
  })
})

describe('segmented least recently used', () => {
  /** Loaded at 0, one byte each; `uses` spread evenly up to `lastUsedAt`. */
  const candidate = (key: string, uses: number, lastUsedAt: number): EvictionCandidate => ({
    key,
    knownSince: 0,
    lastUsedAt,
    uses,
    loadMs: 1,
  })
  const choose = (candidates: readonly EvictionCandidate[], needBytes: number, now: number) => {
    const gains = gainsOf(Object.fromEntries(candidates.map(({ key }) => [key, 1])))
    return slru.chooseVictims({ candidates, needBytes, gains, now })
  }

  it('takes those that nobody asked for again before colder ones that are asked for again and again', () => {
    const scan = Array.from({ length: 5 }, (_, i) => candidate(`scan${i}`, 1, 900 + i))
    const all = [candidate('hot', 10, 850), ...scan]
    assert.deepEqual(choose(all, 2, 1000), ['scan0', 'scan1'])
    assert.deepEqual(choose(all, 6, 1000)?.length, 6, 'the hot one too when nothing else is left')
  })

  it('protects nobody who comes back once in a while', () => {
    const day = 86_400_000
    const all = [candidate('nightly', 4, 3 * day), candidate('new', 1, 3 * day + 1)]
    assert.deepEqual(choose(all, 1, 3 * day + 1000), ['nightly'])
  })

  it('protects nobody for ever: one that rests for many times its usual pause is as cold as it looks', () => {
    const all = [candidate('was hot', 11, 1000), candidate('new', 1, 1700)]
    assert.deepEqual(choose(all, 1, 1750), ['new'], 'its pauses are 100 ms, it rests for 750')
    assert.deepEqual(choose(all, 1, 1900), ['was hot'])
  })
})
