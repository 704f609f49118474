/**
 * The operators of the zoo's models in plain TypeScript, for answers that owe nothing to the engine under test.
 * Matrices are row-major Float64Arrays or Float32Arrays; sums are kept in float64, so results are closer to exact than any float32 engine.
 */

/** Values that can be read as numbers by index; weights are Float32Array, activations Float64Array. */
export type Numbers = Float32Array | Float64Array

/** `x` [rows, inner] times `w` [inner, columns], plus `bias` [columns] where given: [rows, columns]. */
export function matMul(x: Numbers, w: Numbers, inner: number, columns: number, bias?: Numbers): Float64Array {
  const rows = x.length / inner
  const out = new Float64Array(rows * columns)
  for (let row = 0; row < rows; row += 1) {
    const start = row * columns
    if (bias !== undefined) out.set(bias, start)
    for (let k = 0; k < inner; k += 1) {
      const factor = at(x, row * inner + k)
      if (factor === 0) continue
      for (let column = 0, from = k * columns; column < columns; column += 1, from += 1) {
        out[start + column] = at(out, start + column) + factor * at(w, from)
      }
    }
  }
  return out
}

/** Element-wise sum of equally long arrays. */
export function add(x: Numbers, y: Numbers): Float64Array {
  return Float64Array.from(x, (value, i) => value + at(y, i))
}

export function relu(x: Numbers): Float64Array {
  return Float64Array.from(x, (value) => Math.max(value, 0))
}

export function sigmoid(value: number): number {
  return 1 / (1 + Math.exp(-value))
}

/** The exact Gaussian error linear unit: x Φ(x). */
export function gelu(x: Numbers): Float64Array {
  return Float64Array.from(x, (value) => 0.5 * value * (1 + erf(value / Math.SQRT2)))
}

/** Softmax over each run of `width` values. */
export function softmax(x: Numbers, width: number): Float64Array {
  const out = new Float64Array(x.length)
  for (let start = 0; start < x.length; start += width) {
    let largest = Number.NEGATIVE_INFINITY
    for (let i = start; i < start + width; i += 1) largest = Math.max(largest, at(x, i))
    let sum = 0
    for (let i = start; i < start + width; i += 1) {
      const value = Math.exp(at(x, i) - largest)
      out[i] = value
      sum += value
    }
    for (let i = start; i < start + width; i += 1) out[i] = at(out, i) / sum
  }
  return out
}

/** Layer normalisation of each row of `gain.length` values, with ONNX's biased variance. */
export function layerNorm(x: Numbers, gain: Numbers, bias: Numbers, epsilon: number): Float64Array {
  const width = gain.length
  const out = new Float64Array(x.length)
  for (let start = 0; start < x.length; start += width) {
    let sum = 0
    for (let i = 0; i < width; i += 1) sum += at(x, start + i)
    const mean = sum / width
    let squares = 0
    for (let i = 0; i < width; i += 1) squares += (at(x, start + i) - mean) ** 2
    const scale = 1 / Math.sqrt(squares / width + epsilon)
    for (let i = 0; i < width; i += 1) out[start + i] = (at(x, start + i) - mean) * scale * at(gain, i) + at(bias, i)
  }
  return out
}

/** Indexed read that satisfies the checker; callers stay within bounds, where the fallback is never taken. */
export function at(x: Numbers, index: number): number {
  return x[index] ?? 0
}

/** Abramowitz and Stegun, 7.1.26: absolute error below 1.5e-7, as good as the float32 it is compared with. */
function erf(x: number): number {
  const t = 1 / (1 + 0.3275911 * Math.abs(x))
  const polynomial = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
  return Math.sign(x) * (1 - polynomial * Math.exp(-x * x))
}
