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
  { rows: 1, free: 4, intLimit: 2 },
  { rows: 2, free: 8, intLimit: 2 },
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
      data: FILL[input.datatype](count, random, style.intLimit),
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

type Fill = (length: number, random: Random, intLimit: number) => TensorData

const FILL: Readonly<Record<Datatype, Fill>> = {
  FP32: (length, random) => Float32Array.from({ length }, () => random.bell()),
  FP64: (length, random) => Float64Array.from({ length }, () => random.bell()),
  FP16: (length, random) => Uint16Array.from({ length }, () => HALVES[random.below(HALVES.length)] ?? 0),
  BYTES: (length, random) => Array.from({ length }, () => WORDS[random.below(WORDS.length)] ?? ''),
  BOOL: (length, random) => Uint8Array.from({ length }, () => random.below(2)),
  INT64: (length, random, limit) => BigInt64Array.from({ length }, () => BigInt(random.below(limit))),
  UINT64: (length, random, limit) => BigUint64Array.from({ length }, () => BigInt(random.below(limit))),
  INT32: (length, random, limit) => Int32Array.from({ length }, () => random.below(limit)),
  UINT32: (length, random, limit) => Uint32Array.from({ length }, () => random.below(limit)),
  INT16: (length, random, limit) => Int16Array.from({ length }, () => random.below(limit)),
  UINT16: (length, random, limit) => Uint16Array.from({ length }, () => random.below(limit)),
  INT8: (length, random, limit) => Int8Array.from({ length }, () => random.below(limit)),
  UINT8: (length, random, limit) => Uint8Array.from({ length }, () => random.below(limit)),
}
