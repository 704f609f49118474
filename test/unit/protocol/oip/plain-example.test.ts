import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Signature } from '../../../../src/domain/tensor-types.ts'
import { asInferenceRequest } from '../../../../src/protocol/oip/plain-example.ts'
import { RequestReader } from '../../../../src/protocol/oip/request.ts'

const ONE: Signature = { inputs: [{ name: 'x', datatype: 'FP32', shape: ['N', 2] }], outputs: [] }
const TWO: Signature = {
  inputs: [
    { name: 'x', datatype: 'FP32', shape: ['N', 2] },
    { name: 'k', datatype: 'INT64', shape: ['N'] },
  ],
  outputs: [],
}
const COLUMNS: Signature = {
  inputs: [
    { name: 'age', datatype: 'FP32', shape: ['N', 1] },
    { name: 'city', datatype: 'BYTES', shape: ['N', 1] },
  ],
  outputs: [],
}

function shapes(example: unknown, signature: Signature): (readonly number[])[] {
  const request = asInferenceRequest(example, signature)
  return new RequestReader(signature).read(Buffer.from(JSON.stringify(request))).inputs.map(({ shape }) => shape)
}

describe('an example without names, types and shapes', () => {
  it('becomes a request for the one input of a model', () => {
    assert.deepEqual(asInferenceRequest({ inputs: [[1, 2]] }, ONE), {
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [[1, 2]] }],
    })
    const table = {
      columns: [0, 1],
      data: [
        [1, 2],
        [3, 4],
        [5, 6],
      ],
    }
    assert.deepEqual(shapes({ dataframe_split: table }, ONE), [[3, 2]])
  })

  it('becomes a request for several inputs by their names, or by the columns of a table', () => {
    assert.deepEqual(shapes({ inputs: { x: [[1, 2]], k: [7], other: [1] } }, TWO), [[1, 2], [1]])
    const table = {
      columns: ['city', 'age'],
      data: [
        ['Bern', 30],
        ['Ulm', 40],
      ],
    }
    assert.deepEqual(shapes({ dataframe_split: table }, COLUMNS), [
      [2, 1],
      [2, 1],
    ])
  })

  it('is left as it is where it is a request already, or nothing that could become one', () => {
    const request = { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 2] }] }
    for (const given of [request, null, 5, {}, { inputs: [] }, { dataframe_split: { columns: 1 } }])
      assert.equal(asInferenceRequest(given, ONE), given)
    const ambiguous = { inputs: [[1, 2]] }
    assert.equal(asInferenceRequest(ambiguous, TWO), ambiguous)
    assert.throws(() => shapes({ inputs: [[1, 2], [3]] }, ONE), { code: 'TENSOR_MISMATCH' })
  })
})
