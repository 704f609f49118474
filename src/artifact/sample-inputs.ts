/** Makes inputs from a signature alone: what a model is checked and probed with when its owner gave no warm-up requests. */
import type { Datatype, Signature, Tensor, TensorData, TensorSpec } from '../domain/tensor-types.ts'
import { elementCount } from '../domain/tensor-types.ts'
import type { Random } from './random.ts'

/** How the open ends of a signature are filled. */
export interface SampleStyle {
  /** Size of every symbol of dimension 0, the batch. */
  readonly rows: number
  /** Size of every other symbol and free dimension. */
  readonly free: number
  /** Integers are drawn from 0 .. below this. */
  readonly intLimit: number
}

/** Tried in this order until one runs: token ids and masks like small numbers, convolutions want some width, some shapes only fit ones. */
export const SAMPLE_STYLES: readonly SampleStyle[] = [
  { rows: 2, free: 4, intLimit: 2 },
  { rows: 1, free: 8, intLimit: 2 },
  { rows: 1, free: 32, intLimit: 2 },
  { rows: 1, free: 1, intLimit: 1 },
]

/** More than any model takes as a sample; the shape is then a mistake or an attack. */
const MAX_SAMPLE_ELEMENTS = 64 * 1024 * 1024

/** One tensor per input with equal symbols of equal size; undefined when the signature asks for more than a sample may hold. */
export function sampleInputs(signature: Signature, style: SampleStyle, random: Random): Tensor[] | undefined {
  const rowSymbols = new Set(signature.inputs.map((input) => input.shape[0]).filter((dim) => typeof dim === 'string'))
  const tensors: Tensor[] = []
  for (const input of signature.inputs) {
    const shape = sampleShape(input, style, rowSymbols)
    const count = elementCount(shape)
    if (count > MAX_SAMPLE_ELEMENTS) return undefined
    tensors.push({
      name: input.name,
      datatype: input.datatype,
      shape,
      data: sampleData(input.datatype, count, style, random),
    })
  }
  return tensors
}

function sampleShape({ shape }: TensorSpec, { rows, free }: SampleStyle, rowSymbols: ReadonlySet<string>): number[] {
  return shape.map((dim, axis) => {
    if (typeof dim === 'number') return dim >= 0 ? dim : axis === 0 ? rows : free
    return rowSymbols.has(dim) ? rows : free
  })
}

const WORDS = ['a', 'b', '1', 'word']
/** Half precision bits of a few numbers between -1 and 1. */
const HALVES = [0x0000, 0x3800, 0xb800, 0x3c00, 0xbc00, 0x3400, 0xb400, 0x2e66]

export function sampleData(
  datatype: Datatype,
  count: number,
  { intLimit }: Pick<SampleStyle, 'intLimit'>,
  random: Random,
): TensorData {
  switch (datatype) {
    case 'FP32':
      return Float32Array.from({ length: count }, () => random.bell())
    case 'FP64':
      return Float64Array.from({ length: count }, () => random.bell())
    case 'FP16':
      return Uint16Array.from({ length: count }, () => HALVES[random.below(HALVES.length)] ?? 0)
    case 'BYTES':
      return Array.from({ length: count }, () => WORDS[random.below(WORDS.length)] ?? '')
    case 'BOOL':
      return Uint8Array.from({ length: count }, () => random.below(2))
    case 'INT64':
      return BigInt64Array.from({ length: count }, () => BigInt(random.below(intLimit)))
    case 'UINT64':
      return BigUint64Array.from({ length: count }, () => BigInt(random.below(intLimit)))
    case 'INT32':
      return Int32Array.from({ length: count }, () => random.below(intLimit))
    case 'UINT32':
      return Uint32Array.from({ length: count }, () => random.below(intLimit))
    case 'INT16':
      return Int16Array.from({ length: count }, () => random.below(intLimit))
    case 'UINT16':
      return Uint16Array.from({ length: count }, () => random.below(intLimit))
    case 'INT8':
      return Int8Array.from({ length: count }, () => random.below(intLimit))
    case 'UINT8':
      return Uint8Array.from({ length: count }, () => random.below(intLimit))
  }
}
