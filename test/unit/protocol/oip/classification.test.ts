import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Tensor } from '../../../../src/domain/tensor-types.ts'
import { classified } from '../../../../src/protocol/oip/classification.ts'

const floats = (shape: number[], ...values: number[]): Tensor => ({
  name: 'scores',
  datatype: 'FP32',
  shape,
  data: Float32Array.from(values),
})

describe('classified', () => {
  it('gives the best of each row, value and index, highest first', () => {
    const { name, datatype, shape, data } = classified(floats([2, 3], 0.5, 2, 1, -1, -3, -2), 2)
    assert.deepEqual([name, datatype, shape], ['scores', 'BYTES', [2, 2]])
    assert.deepEqual(data, ['2.000000:1', '1.000000:2', '-1.000000:0', '-2.000000:2'])
  })

  it('takes a vector for one row, and all there is for more than there is', () => {
    const { shape, data } = classified(floats([2], 1, 2), 9)
    assert.deepEqual([shape, data], [[2], ['2.000000:1', '1.000000:0']])
  })

  it('counts what lies beyond the first dimension as one row', () => {
    assert.deepEqual(classified(floats([1, 2, 2], 1, 4, 3, 2), 1).data, ['4.000000:1'])
  })

  it('keeps the order of equals, puts NaN last, and writes what is not finite as C does', () => {
    const { data } = classified(floats([5], Number.NaN, 7, 7, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY), 5)
    assert.deepEqual(data, ['inf:4', '7.000000:1', '7.000000:2', '-inf:3', 'nan:0'])
  })

  it('writes integers in full and half precision by value', () => {
    const wide: Tensor = { name: 'n', datatype: 'INT64', shape: [2], data: BigInt64Array.of(2n ** 53n + 1n, -5n) }
    assert.deepEqual(classified(wide, 2).data, ['9007199254740993:0', '-5:1'])
    const half: Tensor = { name: 'h', datatype: 'FP16', shape: [2], data: Uint16Array.of(0xbc00, 0x3800) }
    assert.deepEqual(classified(half, 1).data, ['0.500000:1'])
  })

  it('has nothing to give of no rows, and refuses strings', () => {
    assert.deepEqual(classified(floats([0, 3]), 2).shape, [0, 0])
    assert.throws(() => classified({ name: 's', datatype: 'BYTES', shape: [1], data: ['a'] }, 1), {
      code: 'BAD_REQUEST',
    })
  })
})
