import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { ErrorCode } from '../../../../src/domain/errors.ts'
import { GatewayError } from '../../../../src/domain/errors.ts'
import type { Datatype, TensorData, TensorSpec } from '../../../../src/domain/tensor-types.ts'
import { bytesFromElements } from '../../../../src/protocol/oip/raw-data.ts'
import { RequestReader } from '../../../../src/protocol/oip/request.ts'

const OUTPUTS: TensorSpec[] = [{ name: 'y', datatype: 'FP32', shape: [1] }]

function reader(...inputs: TensorSpec[]): RequestReader {
  return new RequestReader({ inputs, outputs: OUTPUTS })
}

function free(datatype: Datatype, rank = 1): TensorSpec {
  return { name: 'x', datatype, shape: Array.from({ length: rank }, () => -1) }
}

/** A body with binary inputs; `shift` moves the JSON's end, so that the bytes lie at any alignment. */
function bodyOf(
  inputs: { spec: TensorSpec; shape: number[]; bytes: Uint8Array; size?: unknown }[],
  shift = 0,
): { body: Buffer; jsonBytes: number } {
  const json = {
    inputs: inputs.map(({ spec, shape, bytes, size = bytes.length }) => ({
      name: spec.name,
      datatype: spec.datatype,
      shape,
      parameters: { binary_data_size: size },
    })),
  }
  const head = Buffer.from(JSON.stringify(json) + ' '.repeat(shift))
  return { body: Buffer.concat([head, ...inputs.map(({ bytes }) => bytes)]), jsonBytes: head.length }
}

function readOne(datatype: Datatype, shape: number[], bytes: Uint8Array, shift = 0): TensorData | undefined {
  const spec = free(datatype, shape.length)
  const { body, jsonBytes } = bodyOf([{ spec, shape, bytes }], shift)
  return reader(spec).read(body, jsonBytes).inputs[0]?.data
}

function refuses(task: () => unknown, code: ErrorCode, message: RegExp): void {
  assert.throws(task, (error) => {
    assert.ok(error instanceof GatewayError, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  })
}

const SAMPLES: [Datatype, TensorData][] = [
  ['BOOL', Uint8Array.of(0, 1)],
  ['UINT8', Uint8Array.of(0, 255)],
  ['UINT16', Uint16Array.of(0, 65_535)],
  ['UINT32', Uint32Array.of(0, 4_294_967_295)],
  ['UINT64', BigUint64Array.of(0n, 2n ** 64n - 1n)],
  ['INT8', Int8Array.of(-128, 127)],
  ['INT16', Int16Array.of(-32_768, 32_767)],
  ['INT32', Int32Array.of(-2_147_483_648, 2_147_483_647)],
  ['INT64', BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n)],
  ['FP16', Uint16Array.of(0x3c00, 0x7e01)],
  ['FP32', Float32Array.of(Number.NaN, -0)],
  ['FP64', Float64Array.of(Number.NEGATIVE_INFINITY, 5e-324)],
  ['BYTES', ['', 'é🙂']],
]

describe('RequestReader on binary tensors', () => {
  for (const [datatype, data] of SAMPLES) {
    it(`takes ${datatype} at every alignment`, () => {
      for (let shift = 0; shift < 8; shift++)
        assert.deepEqual(readOne(datatype, [2], bytesFromElements(data), shift), data)
    })
  }

  it('takes a view where the bytes are aligned, and copies only where not', () => {
    const spec = free('FP64')
    const { body, jsonBytes } = bodyOf([{ spec, shape: [1], bytes: bytesFromElements(Float64Array.of(1)) }])
    const memory = new ArrayBuffer(body.length + 16)
    for (const offset of Array.from({ length: 8 }, (_, i) => i)) {
      const placed = Buffer.from(memory, offset, body.length)
      body.copy(placed)
      const data = reader(spec).read(placed, jsonBytes).inputs[0]?.data as Float64Array
      assert.deepEqual(data, Float64Array.of(1))
      assert.equal(data.buffer === memory, (offset + jsonBytes) % 8 === 0)
    }
  })

  it('takes several inputs in the order of the JSON, beside others in JSON', () => {
    const specs = ['a', 'b', 'c'].map((name): TensorSpec => ({ name, datatype: 'UINT8', shape: [-1] }))
    const json = Buffer.from(
      JSON.stringify({
        inputs: [
          { name: 'c', datatype: 'UINT8', shape: [2], parameters: { binary_data_size: 2 } },
          { name: 'b', datatype: 'UINT8', shape: [1], data: [9] },
          { name: 'a', datatype: 'UINT8', shape: [1], parameters: { binary_data_size: 1 } },
        ],
      }),
    )
    const { inputs } = reader(...specs).read(Buffer.concat([json, Buffer.of(1, 2, 3)]), json.length)
    assert.deepEqual(
      inputs.map(({ data }) => data),
      [Uint8Array.of(3), Uint8Array.of(9), Uint8Array.of(1, 2)],
    )
  })

  it('takes any strings', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' })), (texts) => {
        fc.pre(texts.every((text) => text.isWellFormed() && !text.includes('\0')))
        assert.deepEqual(readOne('BYTES', [texts.length], bytesFromElements(texts)), texts)
      }),
    )
  })

  it('refuses strings that the engine would mangle', () => {
    const element = (...bytes: number[]) => Buffer.from([bytes.length, 0, 0, 0, ...bytes])
    refuses(
      () => readOne('BYTES', [1], element(0x61, 0)),
      'BAD_INPUT_VALUE',
      /element 0 is .*; wanted a string without NUL/,
    )
    for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0x80]]) {
      refuses(() => readOne('BYTES', [1], element(...bytes)), 'BAD_INPUT_VALUE', /wanted valid UTF-8/)
    }
    // Each element must be valid by itself, not only all of them in a row.
    refuses(
      () => readOne('BYTES', [2], Buffer.concat([element(0xc3), element(0xa9)])),
      'BAD_INPUT_VALUE',
      /element 0 is/,
    )
  })

  it('refuses BYTES whose lengths and number do not fit', () => {
    refuses(
      () => readOne('BYTES', [1], Buffer.of(5, 0, 0, 0, 0x61)),
      'TENSOR_MISMATCH',
      /element 0 runs past the end of its 5 bytes/,
    )
    refuses(() => readOne('BYTES', [1], Buffer.of(255, 255, 255, 255)), 'TENSOR_MISMATCH', /element 0 runs past/)
    refuses(() => readOne('BYTES', [1], Buffer.of(0, 0)), 'TENSOR_MISMATCH', /element 0 runs past/)
    refuses(
      () => readOne('BYTES', [2], bytesFromElements(['a'])),
      'TENSOR_MISMATCH',
      /has 1 elements; wanted 2 of BYTES/,
    )
  })

  it('refuses a boolean that is neither 0 nor 1', () => {
    refuses(() => readOne('BOOL', [2], Buffer.of(1, 2)), 'BAD_INPUT_VALUE', /element 1 is 2; wanted a byte of 0 or 1/)
  })

  it('refuses a number of bytes that does not fit the shape', () => {
    refuses(
      () => readOne('FP32', [2], Buffer.alloc(7)),
      'TENSOR_MISMATCH',
      /has 7 bytes; wanted 8 for 2 elements of FP32/,
    )
    refuses(() => readOne('FP32', [9e15], Buffer.alloc(8)), 'TENSOR_MISMATCH', /has 8 bytes; wanted 36000000000000000/)
  })

  it('refuses a truncated body, and bytes that no input announces', () => {
    const spec = free('UINT8')
    const { body, jsonBytes } = bodyOf([{ spec, shape: [4], bytes: Buffer.alloc(4) }])
    const cut = body.subarray(0, -1)
    refuses(() => reader(spec).read(cut, jsonBytes), 'TENSOR_MISMATCH', /its binary data ends after 3 bytes; wanted 4/)
    const long = Buffer.concat([body, Buffer.alloc(2)])
    refuses(() => reader(spec).read(long, jsonBytes), 'BAD_REQUEST', /^6 bytes follow the JSON; the inputs announce 4/)
  })

  it('refuses sizes that are no sizes, data given twice, and binary data without its header', () => {
    const spec = free('UINT8')
    for (const size of [-1, 1.5, '4', null]) {
      const { body, jsonBytes } = bodyOf([{ spec, shape: [4], bytes: Buffer.alloc(4), size }])
      refuses(
        () => reader(spec).read(body, jsonBytes),
        'TENSOR_MISMATCH',
        /binary_data_size is .*; wanted an integer of at least 0/,
      )
    }
    const both = Buffer.from(
      '{"inputs":[{"name":"x","datatype":"UINT8","shape":[0],"data":[],"parameters":{"binary_data_size":0}}]}',
    )
    refuses(() => reader(spec).read(both, both.length), 'BAD_REQUEST', /both data and parameters.binary_data_size/)
    const { body, jsonBytes } = bodyOf([{ spec, shape: [4], bytes: Buffer.alloc(4) }])
    refuses(
      () => reader(spec).read(body.subarray(0, jsonBytes)),
      'BAD_REQUEST',
      /the header Inference-Header-Content-Length is missing/,
    )
    refuses(
      () => reader(spec).read(body, body.length + 1),
      'BAD_REQUEST',
      /^Inference-Header-Content-Length is \d+; the body has \d+ bytes only/,
    )
  })
})

describe('RequestReader on raw bodies', () => {
  const raw = (spec: TensorSpec, body: Buffer) => reader(spec).read(body, 0)

  it('works the free dimension out and answers in binary', () => {
    const request = raw(
      { name: 'x', datatype: 'FP32', shape: ['N', 2] },
      Buffer.from(bytesFromElements(Float32Array.of(1, 2, 3, 4))),
    )
    assert.deepEqual(request.inputs, [
      { name: 'x', datatype: 'FP32', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
    ])
    assert.deepEqual(request.outputs, [{ name: 'y', isBinary: true }])
  })

  it('takes one row when the rows and another dimension are free', () => {
    assert.deepEqual(raw({ name: 'x', datatype: 'UINT8', shape: ['N', 'S'] }, Buffer.alloc(5)).inputs[0]?.shape, [1, 5])
    assert.deepEqual(raw({ name: 'x', datatype: 'UINT8', shape: [5] }, Buffer.alloc(5)).inputs[0]?.shape, [5])
  })

  it('takes the whole body as one string', () => {
    const request = raw({ name: 'x', datatype: 'BYTES', shape: ['N'] }, Buffer.from('hello'))
    assert.deepEqual(request.inputs, [{ name: 'x', datatype: 'BYTES', shape: [1], data: ['hello'] }])
  })

  it('refuses what has no single meaning', () => {
    refuses(
      () => raw({ name: 'x', datatype: 'FP32', shape: ['N', 2] }, Buffer.alloc(12)),
      'TENSOR_MISMATCH',
      /has 12 bytes; wanted a multiple of 8/,
    )
    refuses(
      () => raw({ name: 'x', datatype: 'FP32', shape: [2] }, Buffer.alloc(12)),
      'TENSOR_MISMATCH',
      /has 12 bytes; wanted 8/,
    )
    refuses(
      () => raw({ name: 'x', datatype: 'FP32', shape: [-1, -1, -1] }, Buffer.alloc(12)),
      'BAD_REQUEST',
      /leaves the shape .* open/,
    )
    refuses(
      () => reader(free('FP32'), { ...free('FP32'), name: 'z' }).read(Buffer.alloc(4), 0),
      'BAD_REQUEST',
      /needs a model with one input, this one has 2/,
    )
  })
})
