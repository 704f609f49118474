/**
 * Elements of a tensor from the `data` of a JSON request: a flat list in row-major order, or lists nested exactly as the shape says.
 * Every element is checked; nothing is rounded but floats to their own precision (a finite number beyond FP16's or FP32's range becomes
 * infinite, as IEEE 754 rounds it).
 */
import type { Datatype, TensorData } from '../../domain/tensor-types.ts'
import { halfBits } from './half-float.ts'
import { badValue, describe, mismatch } from './tensor-errors.ts'

type SmallIntegers = Uint8Array | Uint16Array | Uint32Array | Int8Array | Int16Array | Int32Array
type WideIntegers = BigUint64Array | BigInt64Array

const WORDS = new Map<unknown, number>([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
])

/** The elements of `data` in row-major order, not yet checked; `data` itself when it is flat already. `count` = product of `shape`. */
export function flatten(input: string, data: unknown, shape: readonly number[], count: number): readonly unknown[] {
  if (!Array.isArray(data)) {
    if (shape.length === 0 && data !== undefined) return [data]
    throw mismatch(input, `its data is ${describe(data)}`, 'a list, or binary data with parameters.binary_data_size')
  }
  const list = data as readonly unknown[]
  if (!Array.isArray(list[0])) {
    if (list.length === count) return list
    throw mismatch(input, `its data has ${list.length} elements`, `${count} for shape [${shape.join(', ')}]`)
  }
  const flat: unknown[] = []
  collect(input, list, shape, 0, flat)
  return flat
}

/** Recursion ends where the shape does, however deep the data is nested. */
function collect(input: string, node: unknown, shape: readonly number[], dimension: number, into: unknown[]): void {
  const size = shape[dimension]
  if (!Array.isArray(node) || node.length !== size) {
    const came = Array.isArray(node) ? `${node.length} elements` : describe(node)
    const wanted = size === undefined ? 'no list' : `a list of ${size}`
    throw mismatch(
      input,
      `its data has ${came} in dimension ${dimension}`,
      `${wanted} for shape [${shape.join(', ')}], or one flat list`,
    )
  }
  const isInnermost = dimension === shape.length - 1
  for (const child of node as readonly unknown[]) {
    if (isInnermost) into.push(child)
    else collect(input, child, shape, dimension + 1, into)
  }
}

/** Must the data be read again with its integers exact? Only asked of the 64-bit types. */
export function hasInexactInteger(values: readonly unknown[]): boolean {
  return values.some((value) => typeof value === 'number' && !Number.isSafeInteger(value))
}

/** @throws GatewayError BAD_INPUT_VALUE naming the first element that the datatype cannot hold */
export function elementsFromJson(input: string, datatype: Datatype, values: readonly unknown[]): TensorData {
  return READERS[datatype](input, values)
}

const READERS: Readonly<Record<Datatype, (input: string, values: readonly unknown[]) => TensorData>> = {
  FP32: fillFloat32,
  FP64: fillFloat64,
  FP16: fillHalf,
  INT64: (input, values) => fillWide(input, values, new BigInt64Array(values.length), -(2n ** 63n), 2n ** 63n - 1n),
  UINT64: (input, values) => fillWide(input, values, new BigUint64Array(values.length), 0n, 2n ** 64n - 1n),
  INT32: (input, values) => fillSmall(input, 'INT32', values, new Int32Array(values.length)),
  UINT32: (input, values) => fillSmall(input, 'UINT32', values, new Uint32Array(values.length)),
  INT16: (input, values) => fillSmall(input, 'INT16', values, new Int16Array(values.length)),
  UINT16: (input, values) => fillSmall(input, 'UINT16', values, new Uint16Array(values.length)),
  INT8: (input, values) => fillSmall(input, 'INT8', values, new Int8Array(values.length)),
  UINT8: (input, values) => fillSmall(input, 'UINT8', values, new Uint8Array(values.length)),
  BOOL: fillBool,
  BYTES: checkStrings,
}

// One loop a type on purpose: a loop shared by several array types costs several times as much per element.

function fillFloat32(input: string, values: readonly unknown[]): Float32Array {
  const data = new Float32Array(values.length)
  for (let i = 0; i < data.length; i++) {
    const value = values[i]
    data[i] = typeof value === 'number' ? value : wordValue(input, i, value)
  }
  return data
}

function fillFloat64(input: string, values: readonly unknown[]): Float64Array {
  const data = new Float64Array(values.length)
  for (let i = 0; i < data.length; i++) {
    const value = values[i]
    data[i] = typeof value === 'number' ? value : wordValue(input, i, value)
  }
  return data
}

function fillHalf(input: string, values: readonly unknown[]): Uint16Array {
  const data = new Uint16Array(values.length)
  for (let i = 0; i < data.length; i++) {
    const value = values[i]
    data[i] = halfBits(typeof value === 'number' ? value : wordValue(input, i, value))
  }
  return data
}

function wordValue(input: string, index: number, value: unknown): number {
  const number = WORDS.get(value)
  if (number === undefined) throw badValue(input, index, value, 'a number, NaN, Infinity or -Infinity')
  return number
}

function fillSmall<T extends SmallIntegers>(input: string, datatype: Datatype, values: readonly unknown[], data: T): T {
  for (let i = 0; i < data.length; i++) {
    const value = values[i]
    if (typeof value === 'number') data[i] = value
    // What the array stores is what it was given only if that was an integer in range.
    if (data[i] !== value) throw badValue(input, i, value, `an integer in the range of ${datatype}`)
  }
  return data
}

function fillWide<T extends WideIntegers>(
  input: string,
  values: readonly unknown[],
  data: T,
  min: bigint,
  max: bigint,
): T {
  for (let i = 0; i < data.length; i++) {
    const value = values[i]
    const wide = typeof value === 'bigint' ? value : Number.isSafeInteger(value) ? BigInt(value as number) : undefined
    if (wide === undefined || wide < min || wide > max)
      throw badValue(input, i, value, `an integer from ${min} to ${max}`)
    data[i] = wide
  }
  return data
}

function fillBool(input: string, values: readonly unknown[]): Uint8Array {
  const data = new Uint8Array(values.length)
  for (let i = 0; i < data.length; i++) {
    const value = values[i]
    if (value === true || value === 1) data[i] = 1
    else if (value !== false && value !== 0) throw badValue(input, i, value, 'true, false, 1 or 0')
  }
  return data
}

function checkStrings(input: string, values: readonly unknown[]): readonly string[] {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (typeof value !== 'string') throw badValue(input, i, value, 'a string')
    checkString(input, i, value)
  }
  return values as readonly string[]
}

/** ONNX Runtime's binding cuts a string at NUL and replaces half a surrogate pair, without a word. */
export function checkString(input: string, index: number, value: string): void {
  if (value.includes('\0')) throw badValue(input, index, value, 'a string without NUL')
  if (!value.isWellFormed()) throw badValue(input, index, value, 'a string without lone surrogates')
}
