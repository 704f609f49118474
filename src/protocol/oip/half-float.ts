/**
 * IEEE 754 half precision as bits: 1 sign, 5 exponent, 10 fraction. JavaScript's own Float16Array cannot be used where ONNX Runtime is
 * loaded, for its binding fails on it.
 */
const INFINITY_BITS = 0x7c00
const NAN_BITS = 0x7e00
/** Smallest normal half; below it the step is 2^-24. */
const MIN_NORMAL = 2 ** -14
/** Halfway between the largest half, 65504, and the next step: from here on everything rounds to infinity. */
const OVERFLOW = 65_520

const float64 = new Float64Array(1)
const words = new Uint32Array(float64.buffer)

/** Rounds to the nearest half, ties to even, straight from the double: going through float32 would round twice. */
export function halfBits(value: number): number {
  if (Number.isNaN(value)) return NAN_BITS
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const size = Math.abs(value)
  if (size >= OVERFLOW) return sign | INFINITY_BITS
  if (size < MIN_NORMAL) return sign | roundToEven(size * 2 ** 24)
  float64[0] = size
  const exponent = ((words[1] ?? 0) >>> 20) - 1023
  // 1024 to 2048 steps of 2^(exponent - 10); 2048 carries into the exponent, as it should.
  return sign | (((exponent + 15) << 10) + roundToEven(size * 2 ** (10 - exponent)) - 1024)
}

export function halfValue(bits: number): number {
  const sign = (bits & 0x8000) === 0 ? 1 : -1
  const exponent = (bits >>> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}

function roundToEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor
}
