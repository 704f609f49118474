/**
 * Integer quantisation as ONNX defines it (DynamicQuantizeLinear, MatMulInteger), for weights and for the evaluator.
 * Weights use 7 of their 8 bits: with all 8, CPUs without VNNI saturate when they add pairs of products, and answers would depend on
 * the machine.
 */
import { at } from './reference-math.ts'

/** Largest magnitude of a quantised weight. */
const WEIGHT_LIMIT = 63

export interface QuantisedWeights {
  readonly values: Int8Array
  /** float32; the zero point is 0. */
  readonly scale: number
}

export function quantiseWeights(values: Float32Array): QuantisedWeights {
  let largest = 0
  for (const value of values) largest = Math.max(largest, Math.abs(value))
  const scale = Math.fround(largest / WEIGHT_LIMIT)
  const levels = new Int8Array(values.length)
  for (let i = 0; i < values.length; i += 1) levels[i] = Math.round(at(values, i) / scale)
  return { values: levels, scale }
}

export function dequantised({ values, scale }: QuantisedWeights, index: number): number {
  return (values[index] ?? 0) * scale
}

/** `x` [rows, inner] times `w` [inner, columns] with `x` quantised to uint8 over its whole range: [rows, columns]. */
export function dynamicMatMul(x: Float64Array, w: QuantisedWeights, inner: number, columns: number): Float64Array {
  let smallest = 0
  let largest = 0
  for (const value of x) {
    smallest = Math.min(smallest, value)
    largest = Math.max(largest, value)
  }
  const scale = Math.fround((largest - smallest) / 255)
  const zero = Math.min(Math.max(roundHalfEven(-smallest / scale), 0), 255)
  const rows = x.length / inner
  const weights = w.values
  const sums = new Int32Array(rows * columns)
  for (let row = 0; row < rows; row += 1) {
    for (let k = 0; k < inner; k += 1) {
      const level = Math.min(Math.max(roundHalfEven(at(x, row * inner + k) / scale) + zero, 0), 255) - zero
      for (let column = 0; column < columns; column += 1) {
        const to = row * columns + column
        sums[to] = (sums[to] ?? 0) + level * (weights[k * columns + column] ?? 0)
      }
    }
  }
  return Float64Array.from(sums, (sum) => sum * scale * w.scale)
}

/** ONNX rounds halves to the even neighbour, JavaScript upwards. */
function roundHalfEven(value: number): number {
  const rounded = Math.round(value)
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded
}
