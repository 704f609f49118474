import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Tensor, TensorSpec } from '../../../../src/domain/tensor-types.ts'
import { ResponseWriter } from '../../../../src/protocol/oip/response.ts'

const SPECS: TensorSpec[] = [
  { name: 'scores', datatype: 'FP32', shape: ['N', 2] },
  { name: 'la"bel', datatype: 'BYTES', shape: ['N'] },
]
const SCORES: Tensor = { name: 'scores', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(0.1, -2) }
const LABEL: Tensor = { name: 'la"bel', datatype: 'BYTES', shape: [1], data: ['é'] }

function write(tensors: Tensor[], isBinary: boolean[], id?: string) {
  const outputs = tensors.map(({ name }, i) => ({ name, isBinary: isBinary[i] ?? false }))
  return new ResponseWriter('acme/churn', '7', SPECS).write(id, outputs, tensors)
}

describe('ResponseWriter', () => {
  it('writes model, version, id and outputs in the order given', () => {
    const { json, binary } = write([LABEL, SCORES], [], 'a "b"')
    assert.deepEqual(JSON.parse(json), {
      model_name: 'acme/churn',
      model_version: '7',
      id: 'a "b"',
      outputs: [
        { name: 'la"bel', datatype: 'BYTES', shape: [1], data: ['é'] },
        { name: 'scores', datatype: 'FP32', shape: [1, 2], data: [0.1, -2] },
      ],
    })
    assert.deepEqual(binary, [])
  })

  it('leaves the id out when the request had none', () => {
    assert.ok(!('id' in (JSON.parse(write([SCORES], []).json) as object)))
  })

  it('puts the bytes of binary outputs after the JSON, in order, with their sizes', () => {
    const { json, binary } = write([SCORES, LABEL], [true, true])
    const { outputs } = JSON.parse(json) as { outputs: object[] }
    assert.deepEqual(outputs, [
      { name: 'scores', datatype: 'FP32', shape: [1, 2], parameters: { binary_data_size: 8 } },
      { name: 'la"bel', datatype: 'BYTES', shape: [1], parameters: { binary_data_size: 6 } },
    ])
    assert.deepEqual(Buffer.concat(binary), Buffer.from('cdcccc3d000000c002000000c3a9', 'hex'))
  })

  it('mixes JSON and binary outputs, and announces an empty one', () => {
    const empty: Tensor = { ...SCORES, shape: [0, 2], data: new Float32Array(0) }
    const { json, binary } = write([LABEL, empty], [false, true])
    const { outputs } = JSON.parse(json) as { outputs: object[] }
    assert.deepEqual(outputs[1], {
      name: 'scores',
      datatype: 'FP32',
      shape: [0, 2],
      parameters: { binary_data_size: 0 },
    })
    assert.deepEqual(
      binary.map(({ length }) => length),
      [0],
    )
  })

  it('writes only the part of an array that a view covers', () => {
    const part: Tensor = { ...SCORES, data: Float32Array.of(9, 1, 2, 9).subarray(1, 3) }
    assert.deepEqual(Buffer.concat(write([part], [true]).binary), Buffer.from('0000803f00000040', 'hex'))
    assert.match(write([part], []).json, /"data":\[1,2\]/)
  })

  it('writes a scalar with an empty shape', () => {
    assert.match(write([{ ...SCORES, shape: [], data: Float32Array.of(3) }], []).json, /"shape":\[\],"data":\[3\]/)
  })
})
