/** Answers of the Open Inference Protocol read back and held against what the model must say. */
import { DATATYPES, isDatatype } from '../../src/domain/tensor-types.ts'
import { largestDeviation, type NamedTensor } from '../models/index.ts'
import { headerOf } from './response-reader.ts'

export interface AnswerTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly values: readonly number[]
}

interface WireOutput {
  readonly name: string
  readonly shape: readonly number[]
  readonly datatype: string
  readonly data?: unknown
  readonly parameters?: { readonly binary_data_size?: number }
}

/** Numeric outputs of an answer. @throws Error when the body is not an answer */
export function readAnswer(head: string, body: Buffer): AnswerTensor[] {
  const jsonBytes = Number(headerOf(head, 'inference-header-content-length') ?? body.length)
  const answer = JSON.parse(body.toString('utf8', 0, jsonBytes)) as { readonly outputs?: readonly WireOutput[] }
  if (!Array.isArray(answer.outputs)) throw new Error('the answer has no outputs')
  let at = jsonBytes
  return (answer.outputs as readonly WireOutput[]).map(({ name, shape, datatype, data, parameters }) => {
    const size = parameters?.binary_data_size
    if (size === undefined) return { name, shape, values: numbers(data) }
    const bytes = body.subarray(at, at + size)
    at += size
    return { name, shape, values: fromBinary(datatype, bytes) }
  })
}

/** What is wrong with an answer, or undefined when every expected output is there and within `tolerance`. */
export function answerProblem(
  actual: readonly AnswerTensor[],
  expected: readonly NamedTensor[],
  tolerance: number,
): string | undefined {
  for (const { name, shape, data } of expected) {
    const found = actual.find((tensor) => tensor.name === name)
    if (found === undefined) return `output ${name} is missing`
    const [got, wanted] = [found.shape.join(), shape.join()]
    if (got !== wanted) return `output ${name} has shape [${got}], expected [${wanted}]`
    const deviation = largestDeviation(found.values, Array.from(data as ArrayLike<number | bigint>, Number))
    if (!(deviation <= tolerance)) return `output ${name} is off by ${deviation}, tolerance ${tolerance}`
  }
  return undefined
}

function numbers(data: unknown): number[] {
  if (!Array.isArray(data)) throw new Error('an output has no data')
  // A null is what careless servers make of NaN; Number() would read it as 0.
  return data.flat(Number.POSITIVE_INFINITY).map((value) => (typeof value === 'number' ? value : Number.NaN))
}

function fromBinary(datatype: string, bytes: Buffer): number[] {
  if (!isDatatype(datatype)) throw new Error(`unknown datatype ${datatype}`)
  const read = READERS[datatype]
  if (read === undefined) throw new Error(`datatype ${datatype} is not compared`)
  const width = DATATYPES[datatype].bytes
  return Array.from({ length: bytes.length / width }, (_, i) => read(bytes, i * width))
}

const READERS: Readonly<Record<string, (bytes: Buffer, at: number) => number>> = {
  BOOL: (bytes, at) => bytes.readUInt8(at),
  INT32: (bytes, at) => bytes.readInt32LE(at),
  INT64: (bytes, at) => Number(bytes.readBigInt64LE(at)),
  FP32: (bytes, at) => bytes.readFloatLE(at),
  FP64: (bytes, at) => bytes.readDoubleLE(at),
}
