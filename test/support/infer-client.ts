/** Inference as a client of the protocol does it: tensors in, tensors out, JSON or binary, checked against what must come. */
import assert from 'node:assert/strict'
import { inferBody } from '../../loadtest/generator/infer-request.ts'
import { largestDeviation, type NamedTensor, type TensorValues } from '../../loadtest/models/index.ts'
import { DATATYPES, type Datatype } from '../../src/domain/tensor-types.ts'
import type { Answer, HttpClient } from './http-client.ts'

export interface InferOptions {
  /** Both ways; default `json`. */
  readonly encoding?: 'json' | 'binary'
  readonly headers?: readonly string[]
  /** Default: the URL of the model. */
  readonly path?: string
  readonly signal?: AbortSignal
}

interface WireTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly datatype: Datatype
  readonly data?: readonly unknown[]
  readonly parameters?: { readonly binary_data_size?: number }
}

export function infer(
  client: HttpClient,
  model: string,
  inputs: readonly NamedTensor[],
  { encoding = 'json', headers = [], path = `/v2/models/${model}/infer`, signal }: InferOptions = {},
): Promise<Answer> {
  const { bytes, jsonBytes } = inferBody(inputs, encoding)
  const length = jsonBytes === undefined ? [] : ['Inference-Header-Content-Length', String(jsonBytes)]
  return client.send({
    method: 'POST',
    path,
    headers: [...headers, ...length],
    body: bytes,
    ...(signal === undefined ? {} : { signal }),
  })
}

/** The outputs of an answer, of either encoding; 64-bit integers are exact. Asserts that it is an answer. */
export function outputsOf(answer: Answer): NamedTensor[] {
  assert.equal(answer.status, 200, answer.text)
  const jsonBytes = Number(answer.headers['inference-header-content-length'] ?? answer.body.length)
  const body = JSON.parse(answer.body.toString('utf8', 0, jsonBytes), exactly) as { readonly outputs: WireTensor[] }
  let at = jsonBytes
  return body.outputs.map(({ name, shape, datatype, data, parameters }) => {
    const size = parameters?.binary_data_size
    if (size === undefined) return { name, shape, datatype, data: fromJson(datatype, data ?? []) }
    const bytes = answer.body.subarray(at, at + size)
    at += size
    return { name, shape, datatype, data: fromBytes(datatype, bytes) }
  })
}

/** Asserts that the answer has the outputs expected, floats within `tolerance` as `largestDeviation` measures it, all else exactly. */
export function assertOutputs(answer: Answer, expected: readonly NamedTensor[], tolerance = 1e-3): void {
  const outputs = outputsOf(answer)
  for (const wanted of expected) {
    const found = outputs.find(({ name }) => name === wanted.name)
    assert.ok(found !== undefined, `output ${wanted.name} is missing: ${answer.text}`)
    assert.deepEqual([found.datatype, found.shape], [wanted.datatype, wanted.shape])
    if (found.data instanceof Float32Array || found.data instanceof Float64Array) {
      const deviation = largestDeviation(found.data, wanted.data as Float32Array)
      assert.ok(deviation <= tolerance, `output ${wanted.name} is off by ${deviation}`)
    } else {
      assert.deepEqual(found.data, wanted.data)
    }
  }
}

/** Asserts an error as the protocol and we have it; `tells` is what its message has to say. */
export function assertRefused(answer: Answer, status: number, code: string, tells: RegExp): void {
  assert.deepEqual([answer.status, answer.json.code], [status, code], answer.text)
  assert.equal(answer.headers['content-type'], 'application/json')
  // Clients of the protocol read this member and nothing else.
  assert.equal(typeof answer.json.error, 'string')
  assert.match(String(answer.json.error), tells)
  assert.equal(answer.json.request_id, answer.headers['x-request-id'])
}

/** An integer as it was written, when a number cannot hold it. */
function exactly(this: unknown, _key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
  return /^-?[0-9]+$/.test(context?.source ?? '') ? BigInt(context?.source ?? '') : value
}

function fromJson(datatype: Datatype, data: readonly unknown[]): TensorValues {
  if (datatype === 'BYTES') return data.map(String)
  if (datatype === 'INT64') return BigInt64Array.from(data as number[], BigInt)
  if (datatype === 'UINT64') return BigUint64Array.from(data as number[], BigInt)
  const numbers = data.map(Number)
  return datatype === 'FP16' ? new Uint16Array(Float16Array.from(numbers).buffer) : ARRAYS[datatype].from(numbers)
}

function fromBytes(datatype: Datatype, bytes: Buffer): TensorValues {
  if (datatype === 'BYTES') return stringsOf(bytes)
  // A copy, because typed arrays want their bytes aligned.
  const { buffer } = Uint8Array.from(bytes)
  if (datatype === 'INT64') return new BigInt64Array(buffer)
  if (datatype === 'UINT64') return new BigUint64Array(buffer)
  assert.equal(bytes.length % DATATYPES[datatype].bytes, 0)
  return new ARRAYS[datatype](buffer)
}

function stringsOf(bytes: Buffer): string[] {
  const strings: string[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at)
    strings.push(bytes.toString('utf8', at + 4, at + 4 + length))
    at += 4 + length
  }
  return strings
}

/** FP16 as its bit patterns. */
const ARRAYS = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  FP16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const
