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
  /** Integers are drawn from 0 .. below this; `ones`: every element is one, whatever its type. */
  readonly values: number | 'ones'
}

/**
 * What may be made up for a model. Drawn values have zeros among them, and a run on nonsense can end a process or never end itself where
 * the model is good; ones are the least that an honest model has to take; after these, only what somebody gave is run.
 */
export type MadeUp = 'drawn' | 'ones' | 'none'

/** Tried in this order until one runs: token ids and masks like small numbers, convolutions want some width, some shapes only fit ones. */
const ONES: readonly SampleStyle[] = [
  { rows: 1, free: 4, values: 'ones' },
  { rows: 1, free: 1, values: 'ones' },
]

export const SAMPLE_STYLES: Readonly<Record<MadeUp, readonly SampleStyle[]>> = {
  drawn: [
    { rows: 1, free: 4, values: 2 },
    { rows: 2, free: 8, values: 2 },
    { rows: 1, free: 32, values: 2 },
    { rows: 1, free: 1, values: 1 },
    ...ONES,
  ],
  ones: ONES,
  none: [],
}

/** More than any model takes as a sample; the shape is then a mistake or an attack. */
const MAX_SAMPLE_ELEMENTS = 64 * 1024 * 1024

/** One tensor per input with equal symbols of equal size; undefined when the signature asks for more than a sample may hold. */
export function sampleInputs(signature: Signature, style: SampleStyle, random: Random): Tensor[] | undefined {
  const draw = style.values === 'ones' ? ALL_ONES : drawing(random, style.values)
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
      data: FILL[input.datatype](count, draw),
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

/** Where elements come from. */
interface Draw {
  readonly integer: () => number
  readonly real: () => number
  /** Bits of half precision. */
  readonly half: () => number
  readonly bit: () => number
  readonly word: () => string
}

const WORDS = ['a', 'b', '1', 'word']
/** Half precision bits of a few numbers between -1 and 1. */
const HALVES = [0x0000, 0x3800, 0xb800, 0x3c00, 0xbc00, 0x3400, 0xb400, 0x2e66]

function drawing(random: Random, intLimit: number): Draw {
  return {
    integer: () => random.below(intLimit),
    real: () => random.bell(),
    half: () => HALVES[random.below(HALVES.length)] ?? 0,
    bit: () => random.below(2),
    word: () => WORDS[random.below(WORDS.length)] ?? '',
  }
}

const HALF_ONE = 0x3c00
const ALL_ONES: Draw = { integer: () => 1, real: () => 1, half: () => HALF_ONE, bit: () => 1, word: () => '1' }

const FILL: Readonly<Record<Datatype, (length: number, draw: Draw) => TensorData>> = {
  FP32: (length, { real }) => Float32Array.from({ length }, real),
  FP64: (length, { real }) => Float64Array.from({ length }, real),
  FP16: (length, { half }) => Uint16Array.from({ length }, half),
  BYTES: (length, { word }) => Array.from({ length }, word),
  BOOL: (length, { bit }) => Uint8Array.from({ length }, bit),
  INT64: (length, { integer }) => BigInt64Array.from({ length }, () => BigInt(integer())),
  UINT64: (length, { integer }) => BigUint64Array.from({ length }, () => BigInt(integer())),
  INT32: (length, { integer }) => Int32Array.from({ length }, integer),
  UINT32: (length, { integer }) => Uint32Array.from({ length }, integer),
  INT16: (length, { integer }) => Int16Array.from({ length }, integer),
  UINT16: (length, { integer }) => Uint16Array.from({ length }, integer),
  INT8: (length, { integer }) => Int8Array.from({ length }, integer),
  UINT8: (length, { integer }) => Uint8Array.from({ length }, integer),
}
