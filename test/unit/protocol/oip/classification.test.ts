import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Tensor } from '../../../../src/domain/tensor-types.ts'
import { AnswerLimit } from '../../../../src/protocol/oip/answer-limit.ts'
import { classified } from '../../../../src/protocol/oip/classification.ts'

const NO_LIMIT = new AnswerLimit(Number.POSITIVE_INFINITY)

const floats = (shape: number[], ...values: number[]): Tensor => ({
  name: 'scores',
  datatype: 'FP32',
  shape,
  data: Float32Array.from(values),
})

describe('classified', () => {
  it('gives the best of each row, value and index, highest first', () => {
    const { name, datatype, shape, data } = classified(floats([2, 3], 0.5, 2, 1, -1, -3, -2), 2, NO_LIMIT)
    assert.deepEqual([name, datatype, shape], ['scores', 'BYTES', [2, 2]])
    assert.deepEqual(data, ['2.000000:1', '1.000000:2', '-1.000000:0', '-2.000000:2'])
  })

  it('takes a vector for one row, and all there is for more than there is', () => {
    const { shape, data } = classified(floats([2], 1, 2), 9, NO_LIMIT)
    assert.deepEqual([shape, data], [[2], ['2.000000:1', '1.000000:0']])
  })

  it('counts what lies beyond the first dimension as one row', () => {
    assert.deepEqual(classified(floats([1, 2, 2], 1, 4, 3, 2), 1, NO_LIMIT).data, ['4.000000:1'])
  })

  it('keeps the order of equals, puts NaN last, and writes what is not finite as C does', () => {
    const { data } = classified(
      floats([5], Number.NaN, 7, 7, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY),
      5,
      NO_LIMIT,
    )
    assert.deepEqual(data, ['inf:4', '7.000000:1', '7.000000:2', '-inf:3', 'nan:0'])
  })

  it('writes integers in full and half precision by value', () => {
    const wide: Tensor = { name: 'n', datatype: 'INT64', shape: [2], data: BigInt64Array.of(2n ** 53n + 1n, -5n) }
    assert.deepEqual(classified(wide, 2, NO_LIMIT).data, ['9007199254740993:0', '-5:1'])
    const half: Tensor = { name: 'h', datatype: 'FP16', shape: [2], data: Uint16Array.of(0xbc00, 0x3800) }
    assert.deepEqual(classified(half, 1, NO_LIMIT).data, ['0.500000:1'])
  })

  it('has nothing to give of no rows, and refuses strings', () => {
    assert.deepEqual(classified(floats([0, 3]), 2, NO_LIMIT).shape, [0, 0])
    assert.throws(() => classified({ name: 's', datatype: 'BYTES', shape: [1], data: ['a'] }, 1, NO_LIMIT), {
      code: 'BAD_REQUEST',
    })
  })

  it('refuses more classes than an answer may hold before it makes their texts', () => {
    const data = new Float32Array(1000)
    let looks = 0
    const counted = new Proxy(data, {
      get(target, key) {
        if (typeof key === 'string' && /^[0-9]+$/.test(key)) looks++
        const value: unknown = Reflect.get(target, key, target)
        return value
      },
    })
    const tensor: Tensor = { ...floats([10, 100]), data: counted }
    const refusal = { code: 'BAD_INPUT_VALUE', message: /server\.maxAnswerBytes/ }
    assert.throws(() => classified(tensor, 100, new AnswerLimit(5000)), refusal)
    assert.equal(looks, 0)
    // Their number alone would do, their texts are longer.
    assert.throws(() => classified(tensor, 100, new AnswerLimit(7000)), refusal)
    assert.equal(classified(tensor, 1, new AnswerLimit(7000)).data.length, 10)
  })

  it('finds the same best of a wide row, few or many', () => {
    const values = Array.from({ length: 5000 }, (_, i) => ((i * 7919) % 1009) - 500)
    const sorted = values.map((_, i) => i).sort((a, b) => (values[b] ?? 0) - (values[a] ?? 0) || a - b)
    for (const classes of [1, 2, 3, 7, 64, 300, 1000, 5000]) {
      const { data } = classified(floats([5000], ...values), classes, NO_LIMIT)
      const places = Array.from(data as readonly string[], (text) => Number(text.split(':')[1]))
      assert.deepEqual(places, sorted.slice(0, classes), `${classes}`)
    }
  })
})
