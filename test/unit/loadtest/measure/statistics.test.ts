import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { pairedRatio, rotated, slopeOf, spreadOf } from '../../../../loadtest/measure/statistics.ts'

describe('statistics', () => {
  it('gives median, lowest and highest of odd and even counts without touching the input', () => {
    const values = [5, 1, 3]
    assert.deepEqual(spreadOf(values), { median: 3, min: 1, max: 5, count: 3 })
    assert.deepEqual(values, [5, 1, 3])
    assert.deepEqual(spreadOf([4, 1, 2, 3]), { median: 2.5, min: 1, max: 4, count: 4 })
  })

  it('fits a line through points, and has no slope for a single one', () => {
    const noisy = [0, 1, 2, 3].map((x) => ({ x, y: 10 + 3 * x + (x % 2 === 0 ? 1 : -1) }))
    assert.equal(slopeOf(noisy), 2.6)
    assert.ok(Number.isNaN(slopeOf([{ x: 1, y: 1 }])))
  })

  it('begins each repetition elsewhere', () => {
    assert.deepEqual(
      [0, 1, 2, 3].map((by) => rotated(['a', 'b', 'c'], by).join('')),
      ['abc', 'bca', 'cab', 'abc'],
    )
  })

  it('has no figure for nothing', () => {
    assert.ok(Number.isNaN(spreadOf([]).median))
  })

  it('compares repetition by repetition, so that a slow minute cancels out', () => {
    // The machine ran at a tenth of its speed in the second repetition, for both sides.
    assert.deepEqual(pairedRatio([40, 4, 42], [100, 10, 100]), { median: 0.4, min: 0.4, max: 0.42, count: 3 })
  })
})
