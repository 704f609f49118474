import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { hash32, homeByRendezvous, rankByRendezvous } from '../../../src/lib/rendezvous.ts'

const itself = (node: string) => node
const nodes = fc.uniqueArray(fc.stringMatching(/^[a-z0-9-]{1,12}$/), { minLength: 1, maxLength: 12 })
const keys = fc.array(fc.string({ maxLength: 30 }), { minLength: 1, maxLength: 50 })

describe('rendezvous hashing', () => {
  it('ranks nodes alike in whatever order they are given, and its home is the first of the ranking', () => {
    fc.assert(
      fc.property(nodes, keys, (all, names) => {
        for (const name of names) {
          const ranked = rankByRendezvous(name, all, itself)
          assert.deepEqual(rankByRendezvous(name, all.toReversed(), itself), ranked)
          assert.equal(homeByRendezvous(name, all, itself), ranked[0])
          assert.deepEqual(ranked.toSorted(), all.toSorted())
        }
      }),
    )
  })

  it('moves nothing but the share of the node that comes or goes', () => {
    fc.assert(
      fc.property(nodes, keys, fc.nat(), (all, names, pick) => {
        const leaving = all[pick % all.length]
        const rest = all.filter((node) => node !== leaving)
        for (const name of names) {
          const before = rankByRendezvous(name, all, itself)
          assert.deepEqual(
            rankByRendezvous(name, rest, itself),
            before.filter((node) => node !== leaving),
          )
        }
      }),
    )
  })

  it('gives each of eight nodes its share of 40,000 names within a tenth, first and second choice alike', () => {
    const all = Array.from({ length: 8 }, (_, index) => `replica-${index}`)
    for (const rank of [0, 1]) {
      const counts = new Map<string, number>()
      for (let i = 0; i < 40_000; i++) {
        const node = rankByRendezvous(`customer-${i}/model`, all, itself)[rank] ?? ''
        counts.set(node, (counts.get(node) ?? 0) + 1)
      }
      for (const [node, count] of counts) assert.ok(Math.abs(count - 5000) < 500, `${node} has ${count}`)
      assert.equal(counts.size, 8)
    }
  })

  it('has no home among no nodes', () => {
    assert.throws(() => homeByRendezvous('a', [], itself), RangeError)
    assert.deepEqual(rankByRendezvous('a', [], itself), [])
  })
})

describe('hash32', () => {
  it('depends on text and seed and is an unsigned 32-bit number', () => {
    assert.notEqual(hash32('a'), hash32('b'))
    assert.notEqual(hash32('a', 1), hash32('a', 2))
    fc.assert(
      fc.property(fc.string(), fc.nat(), (text, seed) => {
        const hash = hash32(text, seed)
        assert.ok(Number.isInteger(hash) && hash >= 0 && hash < 2 ** 32)
        assert.equal(hash32(text, seed), hash)
      }),
    )
  })
})
