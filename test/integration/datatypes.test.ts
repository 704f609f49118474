import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { NamedTensor, TensorValues } from '../../loadtest/models/index.ts'
import { Rng } from '../../loadtest/models/index.ts'
import { identity } from '../../loadtest/models/special/index.ts'
import { DATATYPES, type Datatype } from '../../src/domain/tensor-types.ts'
import type { Answer } from '../support/http-client.ts'
import { assertOutputs, assertRefused, infer, outputsOf } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { ServerProcess } from '../support/server-process.ts'

const rng = new Rng('datatypes')
const TYPES = Object.keys(DATATYPES) as Datatype[]

let models: ModelsFolder
let server: ServerProcess

before(async () => {
  models = await ModelsFolder.make()
  for (const type of TYPES) await models.write(nameOf(type), '1', identity(type).model)
  server = await ServerProcess.start({
    models: models.dir,
    args: ['--workers', '2'],
    config: { store: { settleMs: 0 } },
  })
  await server.logs('registry.scanned')
})

after(async () => {
  await server.stop()
  await models.removeAll()
})

/** The ends of each type and what lies around zero, where they are not part of random samples. */
const CORNERS: Readonly<Record<Datatype, TensorValues>> = {
  BOOL: Uint8Array.of(0, 1, 1),
  UINT8: Uint8Array.of(0, 1, 255),
  UINT16: Uint16Array.of(0, 1, 65_535),
  UINT32: Uint32Array.of(0, 1, 4_294_967_295),
  UINT64: BigUint64Array.of(0n, 2n ** 53n + 1n, 2n ** 64n - 1n),
  INT8: Int8Array.of(-128, -1, 127),
  INT16: Int16Array.of(-32_768, -1, 32_767),
  INT32: Int32Array.of(-2_147_483_648, -1, 2_147_483_647),
  INT64: BigInt64Array.of(-(2n ** 63n), 2n ** 53n + 1n, 2n ** 63n - 1n),
  // The least subnormal, one third, the largest number, as bits.
  FP16: Uint16Array.of(0x0001, 0x3555, 0x7bff),
  FP32: Float32Array.of(1.401298464324817e-45, 1 / 3, 3.4028234663852886e38),
  FP64: Float64Array.of(5e-324, 1 / 3, Number.MAX_VALUE),
  BYTES: ['', 'naïve ✓ 模型 🎉', ' "quoted" \\ \n\t\u0001'],
}

describe('every datatype of the protocol', () => {
  for (const type of TYPES) {
    it(`${type} goes in and out unchanged: JSON, binary, and each way mixed`, async () => {
      const samples = identity(type).inputs(rng, 4)[0]?.data ?? []
      for (const data of [CORNERS[type], samples]) {
        const x = tensorOf(type, data)
        for (const answer of [
          await json(type, data),
          await infer(server.client, nameOf(type), [x], { encoding: 'binary' }),
          await json(type, data, { parameters: { binary_data_output: true } }),
          await binaryIn(x),
        ]) {
          const [y] = outputsOf(answer)
          assert.deepEqual([y?.name, y?.datatype, y?.shape], ['y', type, x.shape])
          assert.deepEqual(y?.data, data)
        }
      }
    })
  }

  it('is named in the metadata as it is on the wire', async () => {
    for (const type of TYPES) {
      const { json: metadata } = await server.client.get(`/v2/models/${nameOf(type)}`)
      assert.deepEqual(metadata.inputs, [{ name: 'x', datatype: type, shape: [-1, -1] }])
      assert.deepEqual(metadata.outputs, [{ name: 'y', datatype: type, shape: [-1, -1] }])
    }
  })

  it('can be stacked with other requests of its type', async () => {
    for (const type of TYPES) {
      await Promise.all(
        Array.from({ length: 8 }, async () => {
          const inputs = identity(type).inputs(rng, 1 + rng.below(3))
          assertOutputs(
            await infer(server.client, nameOf(type), inputs, { encoding: 'binary' }),
            identity(type).expected(inputs),
            0,
          )
        }),
      )
    }
  })

  it('may hold no elements at all', async () => {
    for (const type of TYPES) {
      const body = JSON.stringify({ inputs: [{ name: 'x', shape: [0, 3], datatype: type, data: [] }] })
      const answer = await server.client.post(`/v2/models/${nameOf(type)}/infer`, body)
      const [y] = outputsOf(answer)
      assert.deepEqual([y?.shape, y?.data.length], [[0, 3], 0], type)
    }
  })
})

describe('64-bit integers', () => {
  it('keep every digit in JSON, in and out, beside small ones', async () => {
    const digits = ['9007199254740993', '-9223372036854775808', '9223372036854775807', '0', '-1', '1152921504606846977']
    const body = `{"inputs":[{"name":"x","shape":[2,3],"datatype":"INT64","data":[${digits.join(',')}]}]}`
    const answer = await server.client.post(`/v2/models/${nameOf('INT64')}/infer`, body)
    assert.equal(answer.status, 200)
    assert.ok(answer.text.includes(`"data":[${digits.join(',')}]`), answer.text)
  })

  it('keep every digit in nested lists', async () => {
    const body =
      '{"inputs":[{"name":"x","shape":[2,1],"datatype":"UINT64","data":[[18446744073709551615],[9007199254740993]]}]}'
    const answer = await server.client.post(`/v2/models/${nameOf('UINT64')}/infer`, body)
    assert.ok(answer.text.includes('"data":[18446744073709551615,9007199254740993]'), answer.text)
  })
})

describe('NaN and infinities', () => {
  for (const type of ['FP16', 'FP32', 'FP64'] as const) {
    it(`of ${type} are read as bare tokens and as words, and written as bare tokens, never null`, async () => {
      for (const values of ['NaN,Infinity,-Infinity', '"NaN","Infinity","-Infinity"']) {
        const body = `{"inputs":[{"name":"x","shape":[1,3],"datatype":"${type}","data":[${values}]}]}`
        const answer = await server.client.post(`/v2/models/${nameOf(type)}/infer`, body)
        assert.equal(answer.status, 200, answer.text)
        assert.ok(answer.text.includes('"data":[NaN,Infinity,-Infinity]'), answer.text)
      }
    })
  }

  it('keep their bits in binary', async () => {
    const data = Float32Array.of(Number.NaN, Number.POSITIVE_INFINITY, -0)
    const answer = await infer(server.client, nameOf('FP32'), [tensorOf('FP32', data)], { encoding: 'binary' })
    const [y] = outputsOf(answer)
    assert.deepEqual(bitsOf(y?.data as Float32Array), bitsOf(data))
  })
})

describe('what a datatype cannot hold', () => {
  const IN_JSON: readonly (readonly [type: Datatype, value: string, tells: RegExp])[] = [
    ['UINT8', '256', /256.*UINT8/],
    ['INT8', '-129', /-129.*INT8/],
    ['UINT32', '-1', /-1.*UINT32/],
    ['INT32', '2147483648', /2147483648.*INT32/],
    ['INT32', '1.5', /1\.5/],
    ['UINT64', '-1', /-1/],
    ['UINT64', '18446744073709551616', /18446744073709551615/],
    ['BOOL', '2', /true, false, 1 or 0/],
    ['BOOL', '"yes"', /yes/],
    ['FP32', 'null', /null/],
    ['FP32', '"1.0"', /a number, NaN/],
    ['INT64', '"7"', /7/],
    ['BYTES', '7', /a string/],
    ['BYTES', '"a\\u0000b"', /NUL/],
    ['BYTES', '"\\ud800"', /surrogate/],
  ]
  for (const [type, value, tells] of IN_JSON) {
    it(`is refused in JSON: ${type} ${value}`, async () => {
      const body = `{"inputs":[{"name":"x","shape":[1,1],"datatype":"${type}","data":[${value}]}]}`
      assertRefused(await server.client.post(`/v2/models/${nameOf(type)}/infer`, body), 400, 'BAD_INPUT_VALUE', tells)
    })
  }

  const IN_BINARY: readonly (readonly [what: string, type: Datatype, raw: Buffer, code: string, tells: RegExp])[] = [
    ['a BOOL that is neither 0 nor 1', 'BOOL', Buffer.of(2), 'BAD_INPUT_VALUE', /2/],
    ['BYTES with a NUL', 'BYTES', element(Buffer.from('a\0b')), 'BAD_INPUT_VALUE', /NUL/],
    ['BYTES that are not UTF-8', 'BYTES', element(Buffer.of(0xff, 0xfe)), 'BAD_INPUT_VALUE', /UTF-8/],
    ['BYTES cut inside an element', 'BYTES', element(Buffer.from('abc')).subarray(0, 6), 'TENSOR_MISMATCH', /./],
    ['BYTES cut inside a length', 'BYTES', Buffer.of(1, 0), 'TENSOR_MISMATCH', /./],
    ['BYTES with an absurd length', 'BYTES', Buffer.of(0xff, 0xff, 0xff, 0xff), 'TENSOR_MISMATCH', /./],
    [
      'one BYTES element too many',
      'BYTES',
      Buffer.concat([element(Buffer.of(97)), element(Buffer.of(98))]),
      'TENSOR_MISMATCH',
      /./,
    ],
  ]
  for (const [what, type, raw, code, tells] of IN_BINARY) {
    it(`is refused in binary: ${what}`, async () => {
      const json = JSON.stringify({
        inputs: [{ name: 'x', shape: [1, 1], datatype: type, parameters: { binary_data_size: raw.length } }],
      })
      const body = Buffer.concat([Buffer.from(json), raw])
      const headers = ['inference-header-content-length', String(json.length)]
      assertRefused(await server.client.post(`/v2/models/${nameOf(type)}/infer`, body, ...headers), 400, code, tells)
    })
  }

  it('BF16 is refused by name', async () => {
    const body = '{"inputs":[{"name":"x","shape":[1,1],"datatype":"BF16","data":[1]}]}'
    assertRefused(await server.client.post(`/v2/models/${nameOf('FP16')}/infer`, body), 400, 'TENSOR_MISMATCH', /BF16/)
  })

  it('a finite number beyond the range of FP16 or FP32 is rounded as IEEE 754 does', async () => {
    for (const [type, value] of [
      ['FP16', 70_000],
      ['FP32', 1e39],
    ] as const) {
      const body = `{"inputs":[{"name":"x","shape":[1,1],"datatype":"${type}","data":[${value}]}]}`
      const answer = await server.client.post(`/v2/models/${nameOf(type)}/infer`, body)
      assert.ok(answer.text.includes('"data":[Infinity]'), answer.text)
    }
  })
})

describe('a body that is one raw tensor', () => {
  it('is taken for the only input, its shape worked out from its length', async () => {
    const data = Float32Array.of(1, 2, 3, 4, 5)
    const answer = await server.client.post(
      `/v2/models/${nameOf('FP32')}/infer`,
      Buffer.from(data.buffer),
      'inference-header-content-length',
      '0',
    )
    const [y] = outputsOf(answer)
    assert.deepEqual([y?.shape, y?.data], [[1, 5], data])
  })
})

function nameOf(type: Datatype): string {
  return `types/${type.toLowerCase()}`
}

function tensorOf(datatype: Datatype, data: TensorValues): NamedTensor {
  return { name: 'x', datatype, shape: [data.length / 3, 3], data }
}

/** A JSON request as a person writes it: FP16 as numbers, BOOL as true and false. */
function json(type: Datatype, data: TensorValues, changes: object = {}): Promise<Answer> {
  const { shape } = tensorOf(type, data)
  const head = JSON.stringify({ ...changes, inputs: [] }).slice(0, -2)
  const body = `${head}{"name":"x","shape":${JSON.stringify(shape)},"datatype":"${type}","data":[${literals(type, data)}]}]}`
  return server.client.post(`/v2/models/${nameOf(type)}/infer`, body)
}

function literals(type: Datatype, data: TensorValues): string {
  if (Array.isArray(data)) return data.map((text) => JSON.stringify(text)).join(',')
  if (type === 'BOOL') return Array.from(data as Uint8Array, (bit) => String(bit === 1)).join(',')
  const bits = data as Uint16Array
  return type === 'FP16' ? new Float16Array(bits.buffer, bits.byteOffset, bits.length).join(',') : data.join(',')
}

/** Binary in, JSON out. */
async function binaryIn(x: NamedTensor): Promise<Answer> {
  const raw = Array.isArray(x.data)
    ? Buffer.concat(x.data.map((text) => element(Buffer.from(text))))
    : Buffer.from(x.data.buffer, x.data.byteOffset, x.data.byteLength)
  const { name, shape, datatype } = x
  const head = JSON.stringify({ inputs: [{ name, shape, datatype, parameters: { binary_data_size: raw.length } }] })
  const length = ['inference-header-content-length', String(Buffer.byteLength(head))]
  return server.client.post(`/v2/models/${nameOf(datatype)}/infer`, Buffer.concat([Buffer.from(head), raw]), ...length)
}

/** One element of a BYTES tensor. */
function element(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(bytes.length)
  return Buffer.concat([length, bytes])
}

function bitsOf(data: Float32Array): number[] {
  return [...new Uint32Array(data.buffer, data.byteOffset, data.length)]
}
