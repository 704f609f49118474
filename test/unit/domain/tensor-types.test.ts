import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { DATATYPES, datatypeOfOnnx, elementCount, isDatatype } from '../../../src/domain/tensor-types.ts'

describe('datatypes', () => {
  it('are found by the number that ONNX gives them, and bfloat16 is none', () => {
    for (const [name, row] of Object.entries(DATATYPES)) assert.equal(datatypeOfOnnx(row.onnx), name)
    assert.equal(datatypeOfOnnx(16), undefined)
    assert.equal(datatypeOfOnnx(0), undefined)
  })

  it('are told from words that every object knows', () => {
    assert.ok(isDatatype('FP32'))
    for (const word of ['constructor', '__proto__', 'toString', 'fp32', 'BF16']) assert.ok(!isDatatype(word), word)
  })
})

describe('elementCount', () => {
  it('is 1 for a scalar and 0 as soon as a dimension is', () => {
    assert.equal(elementCount([]), 1)
    assert.equal(elementCount([2, 3, 4]), 24)
    assert.equal(elementCount([2, 0, 4]), 0)
  })
})
