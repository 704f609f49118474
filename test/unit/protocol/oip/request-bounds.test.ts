import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GatewayError } from '../../../../src/domain/errors.ts'
import type { TensorSpec } from '../../../../src/domain/tensor-types.ts'
import type { InferenceRequest } from '../../../../src/protocol/oip/request.ts'
import { RequestReader } from '../../../../src/protocol/oip/request.ts'

function read(body: unknown, inputs: readonly TensorSpec[]): InferenceRequest {
  return new RequestReader({ inputs, outputs: [] }).read(
    Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
  )
}

describe('RequestReader within its bounds', () => {
  it('refuses tensors without elements whose other sizes are past all use', () => {
    const x: TensorSpec = { name: 'x', datatype: 'FP32', shape: [-1, -1, -1] }
    const empty = (shape: number[]) => read({ inputs: [{ name: 'x', datatype: 'FP32', shape, data: [] }] }, [x])
    assert.deepEqual(empty([1000, 0, 1000]).inputs[0]?.shape, [1000, 0, 1000])
    for (const shape of [
      [1001, 0, 1000],
      [0, 2 ** 53 - 1, 0],
      [2 ** 53 - 1, 2 ** 53 - 1, 0],
    ])
      assert.throws(() => empty(shape), {
        code: 'TENSOR_MISMATCH',
        message: /has no elements; wanted other sizes whose/,
      })
  })

  it('names a few inputs and says how many more there are', () => {
    const many = Array.from(
      { length: 1000 },
      (_, i): TensorSpec => ({ name: `${i}-${'n'.repeat(5000)}`, datatype: 'FP32', shape: [1] }),
    )
    assert.throws(
      () => read({ inputs: [{ name: 'other' }] }, many),
      (error) =>
        error instanceof GatewayError && error.message.length < 5000 && error.message.endsWith(' and 980 more'),
    )
  })

  it('reads large integers exactly for many inputs at the cost of one', (t) => {
    const specs = Array.from({ length: 20 }, (_, i): TensorSpec => ({ name: `i${i}`, datatype: 'INT64', shape: [1] }))
    const inputs = specs.map(
      ({ name }) => `{"name":"${name}","datatype":"INT64","shape":[1],"data":[9007199254740993]}`,
    )
    const parse = t.mock.method(JSON, 'parse')
    const request = read(`{"inputs":[${inputs.join(',')}]}`, specs)
    assert.equal(parse.mock.callCount(), 2)
    for (const { data } of request.inputs) assert.deepEqual(data, BigInt64Array.of(9007199254740993n))
  })
})
