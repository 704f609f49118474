import type { Datatype } from '../../../src/domain/tensor-types.ts'
import type { Rng } from '../random.ts'
import type { TensorValues } from '../tensor.ts'

const SAMPLES: Readonly<Record<Datatype, (rng: Rng, count: number) => TensorValues>> = {
  BOOL: (rng, count) => Uint8Array.from({ length: count }, () => rng.below(2)),
  UINT8: (rng, count) => new Uint8Array(randomBits(rng, count)),
  UINT16: (rng, count) => new Uint16Array(randomBits(rng, 2 * count)),
  UINT32: (rng, count) => new Uint32Array(randomBits(rng, 4 * count)),
  UINT64: (rng, count) => new BigUint64Array(randomBits(rng, 8 * count)),
  INT8: (rng, count) => new Int8Array(randomBits(rng, count)),
  INT16: (rng, count) => new Int16Array(randomBits(rng, 2 * count)),
  INT32: (rng, count) => new Int32Array(randomBits(rng, 4 * count)),
  INT64: (rng, count) => new BigInt64Array(randomBits(rng, 8 * count)),
  // Sign and fraction at random under the exponent of 1: neither NaN nor infinite.
  FP16: (rng, count) => new Uint16Array(randomBits(rng, 2 * count)).map((bits) => (bits & 0x83ff) | 0x3c00),
  FP32: (rng, count) => rng.fillBell(new Float32Array(count), 1),
  FP64: (rng, count) => Float64Array.from({ length: count }, () => rng.uniform() - 0.5),
  BYTES: (rng, count) => Array.from({ length: count }, () => `naïve ✓ ${rng.uint32().toString(36)}`),
}

/** `count` values over the datatype's whole range, the 64-bit ones beyond what a double holds exactly. */
export function sampleValues(datatype: Datatype, rng: Rng, count: number): TensorValues {
  return SAMPLES[datatype](rng, count)
}

function randomBits(rng: Rng, byteLength: number): ArrayBuffer {
  return Uint8Array.from({ length: byteLength }, () => rng.below(256)).buffer
}
