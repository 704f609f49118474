/** Are two answers the same, as far as floating point goes? Pure. */
import type { Tensor, TensorData } from '../domain/tensor-types.ts'

export interface Tolerance {
  /** Of the larger of the two values. */
  readonly relative: number
  /** Of the expected output's own spread (its deviation), so that values near zero are judged by what the output varies by. */
  readonly ofDeviation: number
}

/** Saved and reopened graphs run the same kernels, but may be packed and split differently. */
export const SAME_MODEL: Tolerance = { relative: 1e-3, ofDeviation: 1e-4 }
/** Rows alone against rows stacked: what stays within is rounding, not one row leaking into another. */
export const SAME_ROWS: Tolerance = { relative: 0, ofDeviation: 1e-4 }

/** Where the answers differ, in words; undefined: nowhere. Outputs are compared by position. */
export function differenceOf(
  actual: readonly Tensor[],
  expected: readonly Tensor[],
  tolerance: Tolerance,
): string | undefined {
  if (actual.length !== expected.length) return `${actual.length} outputs instead of ${expected.length}`
  for (const [i, want] of expected.entries()) {
    const got = actual[i]
    if (got === undefined || got.datatype !== want.datatype)
      return `output '${want.name}' is ${got?.datatype ?? 'missing'}, not ${want.datatype}`
    if (got.shape.join() !== want.shape.join())
      return `output '${want.name}' has shape [${got.shape.join()}], not [${want.shape.join()}]`
    const at = firstDifference(
      want.datatype === 'FP16' ? halves(got.data) : got.data,
      want.datatype === 'FP16' ? halves(want.data) : want.data,
      tolerance,
    )
    if (at !== undefined)
      return `output '${want.name}' differs at element ${at}: ${String(got.data[at])} instead of ${String(want.data[at])}`
  }
  return undefined
}

/** Index of the first element outside the tolerance. Integers, booleans and strings must be equal; NaN equals NaN. */
function firstDifference(actual: TensorData, expected: TensorData, tolerance: Tolerance): number | undefined {
  if (actual.length !== expected.length) return Math.min(actual.length, expected.length)
  const isFloat = expected instanceof Float32Array || expected instanceof Float64Array
  const slack = isFloat ? tolerance.ofDeviation * deviation(expected) + Number.MIN_VALUE : 0
  for (let i = 0; i < expected.length; i++) {
    const got = actual[i]
    const want = expected[i]
    if (got === want) continue
    if (!isFloat || typeof got !== 'number' || typeof want !== 'number') return i
    if (Number.isNaN(got) && Number.isNaN(want)) continue
    if (!Number.isFinite(got) || !Number.isFinite(want)) return i
    const bound = Math.max(slack, tolerance.relative * Math.max(Math.abs(got), Math.abs(want)))
    if (!(Math.abs(got - want) <= bound)) return i
  }
  return undefined
}

/** Standard deviation of the finite values; of a constant, a thousandth of its size, so that rounding is forgiven there too. */
export function deviation(values: Float32Array | Float64Array): number {
  let sum = 0
  let count = 0
  for (const value of values) {
    if (!Number.isFinite(value)) continue
    sum += value
    count++
  }
  if (count === 0) return 0
  const mean = sum / count
  let squares = 0
  for (const value of values) if (Number.isFinite(value)) squares += (value - mean) ** 2
  return Math.max(Math.sqrt(squares / count), Math.abs(mean) * 1e-3)
}

function halves(data: TensorData): TensorData {
  return data instanceof Uint16Array ? Float32Array.from(data, halfToNumber) : data
}

/** IEEE 754 binary16 bits as a number. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}
