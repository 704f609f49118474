/**
 * The reader of inference requests: JSON, binary, raw, and the outputs asked for. What it accepts is written again, as JSON and as
 * binary, and must be read as the same tensors.
 *
 *   input = index of the signature (1 byte) | mode (1 byte) | Inference-Header-Content-Length (4 bytes, little-endian) | body
 */
import type { Signature, Tensor, TensorSpec } from '../../../src/domain/tensor-types.ts'
import { DATATYPES, type Datatype, elementCount } from '../../../src/domain/tensor-types.ts'
import { elementsToJson } from '../../../src/protocol/oip/number-text.ts'
import { bytesFromElements, elementsView } from '../../../src/protocol/oip/raw-data.ts'
import type { InferenceRequest } from '../../../src/protocol/oip/request.ts'
import { RequestReader } from '../../../src/protocol/oip/request.ts'
import { ResponseWriter } from '../../../src/protocol/oip/response.ts'
import { mutateBytes } from '../mutate-bytes.ts'
import { mutateJson } from '../mutate-json.ts'
import { demand, type FuzzTarget } from '../target.ts'

const MODES = { json: 0, binary: 1, raw: 2 } as const
const HEAD_BYTES = 6

interface Seed {
  readonly index: number
  readonly mode: number
  readonly json: string
  readonly rest: Buffer
}

const OUTPUTS: readonly TensorSpec[] = [spec('y', 'FP32', ['N', 1]), spec('__proto__', 'INT64', ['N'])]

const INPUTS: readonly (readonly TensorSpec[])[] = [
  ...Object.keys(DATATYPES).map((datatype) => [spec('x', datatype as Datatype, ['N', 3])]),
  [spec('a', 'FP32', ['N', 2]), spec('b', 'INT64', ['N'])],
  [spec('scalar', 'FP64', [])],
  [spec('__proto__', 'BOOL', [-1]), spec('constructor', 'BYTES', [2]), spec('"quoted"', 'FP16', [1, 1, 'N'])],
  [spec('none', 'UINT8', [0, 'N'])],
]

const SIGNATURES: readonly Signature[] = INPUTS.map((inputs) => ({ inputs, outputs: OUTPUTS }))
const READERS = SIGNATURES.map((signature) => new RequestReader(signature))
const SEEDS = SIGNATURES.flatMap((signature, index) => seedsOf(signature, index))
const WRITER = new ResponseWriter('acme/"churn"', '7', OUTPUTS)

export const oipRequest: FuzzTarget = {
  name: 'oip-request',
  share: 0.4,
  refusals: new Set(['BAD_REQUEST', 'TENSOR_MISMATCH', 'BAD_INPUT_VALUE', 'UNSUPPORTED']),

  make(dice) {
    const seed = dice.pick(SEEDS)
    if (dice.chance(0.35)) return mutateBytes(dice, inputOf(seed), inputOf(dice.pick(SEEDS)))
    if (seed.mode === MODES.raw) return inputOf({ ...seed, rest: mutateBytes(dice, seed.rest, dice.pick(SEEDS).rest) })
    const json = mutateJson(dice, seed.json)
    const rest = dice.chance(0.3) ? mutateBytes(dice, seed.rest, seed.rest) : seed.rest
    return inputOf({ ...seed, json, rest }, dice.chance(0.05) ? dice.below(json.length + 9) : undefined)
  },

  run(input) {
    const index = (input[0] ?? 0) % SIGNATURES.length
    const { inputs = [] } = SIGNATURES[index] ?? {}
    const reader = READERS[index]
    if (reader === undefined || input.length < HEAD_BYTES) return undefined
    const body = input.subarray(HEAD_BYTES)
    const mode = (input[1] ?? 0) % 3
    const request = reader.read(body, mode === MODES.json ? undefined : mode === MODES.raw ? 0 : input.readUInt32LE(2))
    checkInputs(request, inputs, body.length)
    for (const { name } of request.outputs)
      demand(
        OUTPUTS.some((output) => output.name === name),
        `output '${name}'`,
      )
    const again = seedFrom(index, request.inputs)
    for (const { mode: form, json, rest } of again) {
      const bytes = Buffer.concat([Buffer.from(json), rest])
      const { inputs: second } = reader.read(bytes, form === MODES.json ? undefined : Buffer.byteLength(json))
      request.inputs.forEach((tensor, i) => {
        demand(sameTensor(tensor, second[i]), `input '${tensor.name}' changes when it is written and read again`)
      })
    }
    checkAnswer(request)
    return request
  },
}

function spec(name: string, datatype: Datatype, shape: TensorSpec['shape']): TensorSpec {
  return { name, datatype, shape }
}

function checkInputs({ inputs }: InferenceRequest, specs: readonly TensorSpec[], bodyBytes: number): void {
  demand(inputs.length === specs.length, `${inputs.length} inputs`)
  inputs.forEach(({ name, datatype, shape, data }, i) => {
    demand(name === specs[i]?.name && datatype === specs[i]?.datatype, `input ${i} is '${name}', ${datatype}`)
    demand(data.length === elementCount(shape), `'${name}' has ${data.length} elements in shape [${shape.join(', ')}]`)
    demand(
      shape.every((size) => Number.isSafeInteger(size) && size >= 0),
      `shape [${shape.join(', ')}]`,
    )
    // A number takes a byte of text at least, and a comma.
    demand(data.length <= bodyBytes + 1, `${data.length} elements from ${bodyBytes} bytes`)
  })
}

/** What an answer to the request says must be JSON, with the id as it came. */
function checkAnswer({ id, outputs }: InferenceRequest): void {
  const tensors = outputs.map(
    ({ name }): Tensor =>
      name === 'y'
        ? { name, datatype: 'FP32', shape: [2, 1], data: Float32Array.of(1, -0.1) }
        : { name, datatype: 'INT64', shape: [1], data: BigInt64Array.of(-(2n ** 63n)) },
  )
  const { json } = WRITER.write(id, outputs, tensors)
  const answer = JSON.parse(json) as { id?: unknown; outputs: readonly unknown[] }
  demand(answer.id === id && answer.outputs.length === outputs.length, 'the answer is not to this request')
}

function sameTensor(a: Tensor, b: Tensor | undefined): boolean {
  return (
    b !== undefined &&
    a.shape.join() === b.shape.join() &&
    elementsToJson(a.datatype, a.data) === elementsToJson(b.datatype, b.data)
  )
}

function inputOf({ index, mode, json, rest }: Seed, jsonBytes = Buffer.byteLength(json)): Buffer {
  const head = Buffer.alloc(HEAD_BYTES)
  head[0] = index
  head[1] = mode
  head.writeUInt32LE(jsonBytes, 2)
  return Buffer.concat([head, Buffer.from(mode === MODES.raw ? '' : json), rest])
}

function seedsOf({ inputs }: Signature, index: number): Seed[] {
  const tensors = inputs.map(({ name, datatype, shape }): Tensor => {
    const sizes = shape.map((size) => (typeof size === 'number' && size >= 0 ? size : 2))
    return { name, datatype, shape: sizes, data: sample(datatype, elementCount(sizes)) }
  })
  const [first] = tensors
  const raw = { index, mode: MODES.raw, json: '', rest: Buffer.from(bytesFromElements(first?.data ?? [])) }
  return tensors.length === 1 ? [...seedFrom(index, tensors), raw] : seedFrom(index, tensors)
}

/** The same request as JSON and as binary. */
function seedFrom(index: number, tensors: readonly Tensor[]): Seed[] {
  const heads = tensors.map(
    ({ name, datatype, shape }) =>
      `"name":${JSON.stringify(name)},"datatype":"${datatype}","shape":[${shape.join(',')}]`,
  )
  const data = tensors.map((tensor) => `"data":[${elementsToJson(tensor.datatype, tensor.data)}]`)
  const raws = tensors.map((tensor) => Buffer.from(bytesFromElements(tensor.data)))
  const sizes = raws.map((bytes) => `"parameters":{"binary_data_size":${bytes.length}}`)
  const list = (parts: readonly string[]): string => heads.map((head, i) => `{${head},${parts[i] ?? ''}}`).join(',')
  const outputs = '"outputs":[{"name":"y","parameters":{"binary_data":true}}]'
  return [
    { index, mode: MODES.json, json: `{"id":"a1","inputs":[${list(data)}]}`, rest: Buffer.alloc(0) },
    {
      index,
      mode: MODES.binary,
      json: `{"inputs":[${list(sizes)}],${outputs},"parameters":{"binary_data_output":true}}`,
      rest: Buffer.concat(raws),
    },
  ]
}

function sample(datatype: Datatype, count: number): Tensor['data'] {
  if (datatype === 'BYTES') return Array.from({ length: count }, (_, i) => ['', 'é', 'a"b'][i % 3] ?? '')
  // Of its own memory, which is aligned for every type.
  const bytes = new Uint8Array(count * DATATYPES[datatype].bytes).fill(datatype === 'BOOL' ? 1 : 0x3c)
  return elementsView(datatype, bytes, count)
}
