import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { backoffMs } from '../../../src/lib/backoff.ts'

describe('backoffMs', () => {
  it('doubles from the base to the maximum', () => {
    const steps = [1, 2, 3, 4, 5, 1000].map((attempt) => backoffMs(attempt, { baseMs: 100, maxMs: 1000 }, () => 1))
    assert.deepEqual(steps, [100, 200, 400, 800, 1000, 1000])
  })

  it('spreads each delay over the upper half of its step, so that it is neither near zero nor the same for all', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10_000 }),
        fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
        (attempt, random) => {
          const whole = backoffMs(attempt, { baseMs: 7, maxMs: 60_000 }, () => 1)
          const delay = backoffMs(attempt, { baseMs: 7, maxMs: 60_000 }, () => random)
          assert.ok(delay >= whole / 2 && delay <= whole)
          assert.ok(whole <= 60_000)
        },
      ),
    )
  })
})
