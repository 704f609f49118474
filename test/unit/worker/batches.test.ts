import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { Tensor } from '../../../src/domain/tensor-types.ts'
import { planRuns, rowsOf, split, stack } from '../../../src/worker/batches.ts'

function floats(name: string, shape: number[], from = 0): Tensor {
  const count = shape.reduce((product, size) => product * size, 1)
  return { name, datatype: 'FP32', shape, data: Float32Array.from({ length: count }, (_, i) => from + i) }
}

/** Requests of one input with these many rows of two features each. */
function requests(...rows: number[]): Tensor[][] {
  return rows.map((count) => [floats('x', [count, 2])])
}

function members(
  inputs: readonly (readonly Tensor[] | undefined)[],
  maxRows: number,
  isBatchSafe = true,
): (readonly number[])[] {
  return planRuns(inputs, { isBatchSafe, maxRows }).map((run) => run.members)
}

describe('planRuns', () => {
  it('puts requests of one shape into runs of at most maxRows rows, in order', () => {
    assert.deepEqual(members(requests(1, 1, 1, 1, 1), 2), [[0, 1], [2, 3], [4]])
    assert.deepEqual(members(requests(3, 2, 1), 4), [[0], [1, 2]])
  })

  it('lets a request that is larger than maxRows run alone', () => {
    assert.deepEqual(members(requests(1, 9, 1), 4), [[0], [1], [2]])
  })

  it('stacks nothing that is not batch-safe', () => {
    assert.deepEqual(members(requests(1, 1), 8, false), [[0], [1]])
    assert.deepEqual(planRuns(requests(5), { isBatchSafe: false, maxRows: 8 })[0]?.totalRows, 1)
  })

  it('keeps apart what differs beyond dimension 0, and still gathers equals', () => {
    const mixed = [
      [floats('x', [1, 2])],
      [floats('x', [1, 3])],
      [floats('x', [2, 2])],
      [floats('x', [1, 2, 1])],
      [floats('x', [1, 3])],
    ]
    assert.deepEqual(members(mixed, 8), [[0, 2], [1, 4], [3]])
  })

  it('runs alone what has no common number of rows', () => {
    const odd = [
      [floats('a', [1, 2]), floats('b', [2, 2])],
      [floats('a', []), floats('b', [])],
      [floats('a', [0, 2]), floats('b', [0, 2])],
    ]
    assert.deepEqual(odd.map(rowsOf), [undefined, undefined, undefined])
    assert.deepEqual(members(odd, 8), [[0], [1], [2]])
  })

  it('leaves out requests that are not to be run', () => {
    const [one, two] = requests(1, 1)
    assert.deepEqual(members([undefined, one, undefined, two], 8), [[1, 3]])
  })

  it('runs every request exactly once and respects maxRows, whatever comes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 1, max: 3 }))),
        fc.integer({ min: 1, max: 8 }),
        (shapes, maxRows) => {
          const inputs = shapes.map((shape) => [floats('x', shape)])
          const runs = planRuns(inputs, { isBatchSafe: true, maxRows })
          assert.deepEqual(
            runs.flatMap((run) => run.members).sort((a, b) => a - b),
            inputs.map((_, i) => i),
          )
          for (const run of runs) {
            if (run.members.length > 1) assert.ok(run.totalRows <= maxRows)
            assert.equal(
              run.rows.reduce((sum, rows) => sum + rows, 0),
              run.totalRows,
            )
          }
        },
      ),
    )
  })
})

describe('stack and split', () => {
  it('join rows in order and give each request its own again', () => {
    const [a, b] = [[floats('x', [1, 2], 10)], [floats('x', [2, 2], 20)]]
    const stacked = stack([a, b], 3)
    assert.deepEqual(stacked, [
      { name: 'x', datatype: 'FP32', shape: [3, 2], data: Float32Array.of(10, 11, 20, 21, 22, 23) },
    ])
    const [run] = planRuns([a, b], { isBatchSafe: true, maxRows: 8 })
    assert.ok(run !== undefined)
    assert.deepEqual(split(stacked, run), [a, b])
  })

  it('work for every element type', () => {
    const tensors: Tensor[] = [
      { name: 'x', datatype: 'INT64', shape: [1, 1], data: BigInt64Array.of(2n ** 62n) },
      { name: 'x', datatype: 'FP16', shape: [1, 1], data: Uint16Array.of(0x3c00) },
      { name: 'x', datatype: 'BOOL', shape: [1, 1], data: Uint8Array.of(1) },
      { name: 'x', datatype: 'FP64', shape: [1, 1], data: Float64Array.of(9, 0.5).subarray(1) },
      { name: 'x', datatype: 'BYTES', shape: [1, 1], data: ['é'] },
    ]
    for (const tensor of tensors) {
      const inputs = [[tensor], [tensor]]
      const [run] = planRuns(inputs, { isBatchSafe: true, maxRows: 2 })
      assert.ok(run !== undefined)
      assert.deepEqual(split(stack(inputs, 2), run), inputs)
    }
  })

  it('do not split outputs that lost or gained rows', () => {
    const [run] = planRuns(requests(1, 2), { isBatchSafe: true, maxRows: 8 })
    assert.ok(run !== undefined)
    assert.equal(split([floats('y', [1])], run), undefined)
    assert.equal(split([floats('y', [])], run), undefined)
    assert.equal(split([floats('z', [3]), floats('y', [4, 3])], run), undefined)
    assert.deepEqual(
      split([floats('y', [3])], run)?.map(([part]) => part?.shape),
      [[1], [2]],
    )
  })
})
