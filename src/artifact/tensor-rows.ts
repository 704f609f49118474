/** Cutting and joining tensors along dimension 0, the rows. Pure. */
import type { Tensor, TensorData } from '../domain/tensor-types.ts'
import { elementCount } from '../domain/tensor-types.ts'

/** Elements of one row of a tensor of shape [rows, ...]. */
export function rowElements(tensor: Tensor): number {
  return elementCount(tensor.shape.slice(1))
}

/** Row `row` alone, shape [1, ...]. */
export function sliceRow(tensor: Tensor, row: number): Tensor {
  const size = rowElements(tensor)
  return { ...tensor, shape: [1, ...tensor.shape.slice(1)], data: tensor.data.slice(row * size, (row + 1) * size) }
}

/** The rows in the order given: row i of the result is row `order[i]`. */
export function permuteRows(tensor: Tensor, order: readonly number[]): Tensor {
  const size = rowElements(tensor)
  const data = emptyLike(tensor.data, order.length * size)
  for (const [to, from] of order.entries()) copyElements(data, to * size, tensor.data, from * size, size)
  return { ...tensor, shape: [order.length, ...tensor.shape.slice(1)], data }
}

/** Joins answers of one row each, output by output; undefined when their shapes do not fit together. */
export function stackRows(answers: readonly (readonly Tensor[])[]): Tensor[] | undefined {
  const [first] = answers
  if (first === undefined) return undefined
  const stacked: Tensor[] = []
  for (const [at, output] of first.entries()) {
    const size = rowElements(output)
    const data = emptyLike(output.data, answers.length * size)
    for (const [row, answer] of answers.entries()) {
      const part = answer[at]
      if (part === undefined || part.shape.join() !== output.shape.join() || part.shape[0] !== 1) return undefined
      copyElements(data, row * size, part.data, 0, size)
    }
    stacked.push({ ...output, shape: [answers.length, ...output.shape.slice(1)], data })
  }
  return stacked
}

type MutableData = Exclude<TensorData, readonly string[]> | string[]

export function emptyLike(data: TensorData, length: number): MutableData {
  if (isStrings(data)) return Array.from({ length }, () => '')
  if (data instanceof Float32Array) return new Float32Array(length)
  if (data instanceof Float64Array) return new Float64Array(length)
  if (data instanceof BigInt64Array) return new BigInt64Array(length)
  if (data instanceof BigUint64Array) return new BigUint64Array(length)
  if (data instanceof Int32Array) return new Int32Array(length)
  if (data instanceof Uint32Array) return new Uint32Array(length)
  if (data instanceof Int16Array) return new Int16Array(length)
  if (data instanceof Uint16Array) return new Uint16Array(length)
  return data instanceof Int8Array ? new Int8Array(length) : new Uint8Array(length)
}

export function copyElements(to: MutableData, at: number, from: TensorData, start: number, count: number): void {
  // One kind of array on both sides; the elements' type follows from it, which the union cannot say.
  const target = to as unknown[]
  for (let i = 0; i < count; i++) target[at + i] = from[start + i]
}

function isStrings(data: TensorData): data is readonly string[] {
  return Array.isArray(data)
}
