/**
 * Tensors as the load tests and tests hand them around: an Open Inference Protocol datatype, a shape and values in row-major order.
 * Owns no codecs: the wire formats belong to the product, this is only what a model is fed and what it must answer.
 */

import type { Datatype } from '../../src/domain/tensor-types.ts'

/** FP16 travels as its bit patterns in a `Uint16Array`, BOOL as 0 or 1 in a `Uint8Array`, BYTES as strings. */
export type TensorValues =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | string[]

export interface NamedTensor {
  readonly name: string
  readonly datatype: Datatype
  readonly shape: readonly number[]
  /** Row-major; the product of `shape` values. */
  readonly data: TensorValues
}

export function float32Tensor(name: string, shape: readonly number[], data: Float32Array): NamedTensor {
  return { name, datatype: 'FP32', shape, data }
}

export function int64Tensor(name: string, shape: readonly number[], data: BigInt64Array): NamedTensor {
  return { name, datatype: 'INT64', shape, data }
}

/** The tensor of that name. Throws when it is absent, with the names that are there. */
export function tensorNamed(tensors: readonly NamedTensor[], name: string): NamedTensor {
  const found = tensors.find((tensor) => tensor.name === name)
  if (found === undefined) {
    throw new Error(`no tensor named ${name}; there are: ${tensors.map((tensor) => tensor.name).join(', ')}`)
  }
  return found
}

/** The values of a FP32 tensor of that name. Throws on any other datatype. */
export function float32Values(tensors: readonly NamedTensor[], name: string): Float32Array {
  const { data, datatype } = tensorNamed(tensors, name)
  if (!(data instanceof Float32Array)) throw new Error(`tensor ${name} is ${datatype}, expected FP32`)
  return data
}

/** The values of an INT64 tensor of that name. Throws on any other datatype. */
export function int64Values(tensors: readonly NamedTensor[], name: string): BigInt64Array {
  const { data, datatype } = tensorNamed(tensors, name)
  if (!(data instanceof BigInt64Array)) throw new Error(`tensor ${name} is ${datatype}, expected INT64`)
  return data
}

/**
 * How far two lists of numbers are apart: the largest absolute difference divided by the root mean square of `expected`.
 * 0 for equal lists; Infinity when the lengths differ or a value is NaN or infinite where the other is not the same.
 */
export function largestDeviation(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY
  let largest = 0
  let squares = 0
  for (let i = 0; i < expected.length; i += 1) {
    const want = expected[i] ?? Number.NaN
    const got = actual[i] ?? Number.NaN
    if (Object.is(got, want)) continue
    const difference = Math.abs(got - want)
    if (!Number.isFinite(difference)) return Number.POSITIVE_INFINITY
    largest = Math.max(largest, difference)
  }
  if (largest === 0) return 0
  for (let i = 0; i < expected.length; i += 1) squares += (expected[i] ?? 0) ** 2
  return largest / Math.sqrt(squares / expected.length)
}
