/** Inference requests of the Open Inference Protocol as bytes ready to send, JSON or with binary tensors both ways. */
import type { NamedTensor } from '../models/index.ts'
import type { Encoding, Target } from './plan.ts'

export interface InferBody {
  readonly bytes: Buffer
  /** Bytes of the JSON part when binary tensors follow it. */
  readonly jsonBytes?: number
}

export interface InferHeaders {
  readonly namesInHeader?: boolean | undefined
  readonly deadlineMs?: number | undefined
}

/** Bodies up to this size are sent in one piece with their head: one copy is cheaper than a gathered write. */
const ONE_PIECE_BYTES = 8 * 1024

/** A body that names no model, so that one serves all models of a class. */
export function inferBody(inputs: readonly NamedTensor[], encoding: Encoding): InferBody {
  return encoding === 'json' ? jsonBody(inputs) : binaryBody(inputs)
}

/** The whole request; the model is named in the URL, and in the header of model multiplexing if wanted. */
export function inferRequest(
  target: Target,
  model: string,
  body: InferBody,
  { namesInHeader = false, deadlineMs }: InferHeaders = {},
): readonly Buffer[] {
  const lines = [
    `POST /v2/models/${model}/infer HTTP/1.1`,
    `Host: ${target.host}:${target.port}`,
    `Content-Type: ${body.jsonBytes === undefined ? 'application/json' : 'application/octet-stream'}`,
    `Content-Length: ${body.bytes.length}`,
  ]
  if (namesInHeader) lines.push(`serve_multiplexed_model_id: ${model}`)
  if (deadlineMs !== undefined) lines.push(`x-modelmux-timeout-ms: ${deadlineMs}`)
  if (body.jsonBytes !== undefined) lines.push(`Inference-Header-Content-Length: ${body.jsonBytes}`)
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`)
  return body.bytes.length <= ONE_PIECE_BYTES ? [Buffer.concat([head, body.bytes])] : [head, body.bytes]
}

/** A request with a JSON body, or none. */
export function plainRequest(target: Target, method: 'GET' | 'POST', path: string, json?: unknown): readonly Buffer[] {
  const body = json === undefined ? '' : JSON.stringify(json)
  const head = `${method} ${path} HTTP/1.1\r\nHost: ${target.host}:${target.port}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`
  return [Buffer.from(head + body)]
}

function jsonBody(inputs: readonly NamedTensor[]): InferBody {
  const tensors = inputs.map(
    ({ name, datatype, shape, data }) =>
      `{"name":${JSON.stringify(name)},"shape":${JSON.stringify(shape)},"datatype":"${datatype}","data":${jsonData(data)}}`,
  )
  return { bytes: Buffer.from(`{"inputs":[${tensors.join(',')}]}`) }
}

function jsonData(data: NamedTensor['data']): string {
  // JSON has no BigInt; its digits are a number all the same.
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return `[${data.join(',')}]`
  return JSON.stringify(Array.isArray(data) ? data : Array.from(data as ArrayLike<number>))
}

function binaryBody(inputs: readonly NamedTensor[]): InferBody {
  const chunks = inputs.map(({ data }) => rawBytes(data))
  const tensors = inputs.map(({ name, datatype, shape }, i) => ({
    name,
    shape,
    datatype,
    parameters: { binary_data_size: chunks[i]?.length ?? 0 },
  }))
  const json = Buffer.from(JSON.stringify({ inputs: tensors, parameters: { binary_data_output: true } }))
  return { bytes: Buffer.concat([json, ...chunks]), jsonBytes: json.length }
}

/** Little-endian, row-major, no padding; every machine that ONNX Runtime's binding runs on is little-endian. */
function rawBytes(data: NamedTensor['data']): Buffer {
  if (!Array.isArray(data)) {
    const view = data as ArrayBufferView
    return Buffer.from(view.buffer, view.byteOffset, view.byteLength)
  }
  return Buffer.concat(
    data.map((text) => {
      const bytes = Buffer.from(text)
      const length = Buffer.alloc(4)
      length.writeUInt32LE(bytes.length)
      return Buffer.concat([length, bytes])
    }),
  )
}
