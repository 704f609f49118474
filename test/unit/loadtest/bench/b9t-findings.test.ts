import assert from 'node:assert/strict'
import { it } from 'node:test'
import { findings } from '../../../../loadtest/bench/b9t-findings.ts'

it('the fine-tune that moved the most counts, each way, and the base does not', () => {
  const { gates, wrong, tables } = findings([
    {
      className: 'R',
      family: 'head',
      base: { bytes: 100e6, up: 101e6, down: 101e6 },
      tunes: [
        { bytes: 100e6, up: 8e6, down: 9e6 },
        { bytes: 100e6, up: 12e6, down: 9e6 },
      ],
      problems: ['R, a: wrong'],
    },
  ])
  assert.deepEqual(
    gates.map(({ value, bound, limit }) => [value, bound, limit]),
    [
      [0.12, 'at most', 0.15],
      [0.09, 'at most', 0.15],
    ],
  )
  assert.equal(wrong, 1)
  assert.deepEqual(tables[0]?.rows[0]?.slice(0, 5), ['R/head, the first', 1, 100, 101, 101])
})
