import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { EvictionCandidate } from '../../../src/cache/eviction-policy.ts'
import { lru } from '../../../src/cache/eviction-policy.ts'
import { evictionPolicyContract } from '../../contract/eviction-policy.contract.ts'

evictionPolicyContract(lru)

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
  return keys.map((key, i) => ({ key, readyAt: 0, lastUsedAt: i, uses: 1, loadMs: 1 }))
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
      for (; ; read++) yield { key: 'a', readyAt: 0, lastUsedAt: read, uses: 1, loadMs: 1 }
    }
    lru.chooseVictims({ candidates: endless(), needBytes: 30, gains: gainsOf({ a: 10 }), now: 9 })
    assert.equal(read, 2)
  })
})
