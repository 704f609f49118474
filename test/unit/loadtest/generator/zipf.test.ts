import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ZipfSampler } from '../../../../loadtest/generator/zipf.ts'
import { Rng } from '../../../../loadtest/models/index.ts'

const DRAWS = 200_000

function shares(ranks: number, exponent: number): number[] {
  const sampler = new ZipfSampler(new Rng('zipf', ranks), ranks, exponent)
  const counts = Array.from({ length: ranks }, () => 0)
  for (let i = 0; i < DRAWS; i += 1) {
    const rank = sampler.next()
    counts[rank] = (counts[rank] ?? Number.NaN) + 1
  }
  return counts.map((count) => count / DRAWS)
}

describe('Zipf sampler', () => {
  for (const exponent of [0.5, 1, 1.1, 2]) {
    it(`draws each rank as often as the law with exponent ${exponent} says`, () => {
      const ranks = 50
      const weights = Array.from({ length: ranks }, (_, k) => (k + 1) ** -exponent)
      const total = weights.reduce((sum, weight) => sum + weight, 0)
      const drawn = shares(ranks, exponent)
      for (const [k, weight] of weights.entries()) {
        const wanted = weight / total
        // Five standard deviations of a binomial share.
        const margin = 5 * Math.sqrt((wanted * (1 - wanted)) / DRAWS)
        assert.ok(Math.abs((drawn[k] ?? 0) - wanted) < margin, `rank ${k}: ${drawn[k]} instead of ${wanted}`)
      }
    })
  }

  it('gives the same ranks for the same seed and others for another', () => {
    const draw = (seed: number) => {
      const sampler = new ZipfSampler(new Rng(seed), 10_000, 1.1)
      return Array.from({ length: 50 }, () => sampler.next())
    }
    assert.deepEqual(draw(1), draw(1))
    assert.notDeepEqual(draw(1), draw(2))
  })

  it('stays in range with one rank and with ten thousand', () => {
    const one = new ZipfSampler(new Rng(3), 1, 1.1)
    assert.deepEqual([one.next(), one.next()], [0, 0])
    const many = new ZipfSampler(new Rng(4), 10_000, 0.9)
    for (let i = 0; i < 10_000; i += 1) {
      const rank = many.next()
      assert.ok(Number.isInteger(rank) && rank >= 0 && rank < 10_000)
    }
  })

  it('refuses ranks and exponents that make no distribution', () => {
    assert.throws(() => new ZipfSampler(new Rng(1), 0, 1), /ranks is 0/)
    assert.throws(() => new ZipfSampler(new Rng(1), 10, 0), /exponent is 0/)
    assert.throws(() => new ZipfSampler(new Rng(1), 10, Number.NaN), /exponent is NaN/)
  })
})
