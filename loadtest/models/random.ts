/**
 * Seeded random numbers for weights and inputs: fast, the same on every machine, no cryptographic claim.
 * The generator is sfc32 (Chris Doty-Humphrey's Small Fast Counting generator, PractRand), its state derived from a textual seed,
 * so that every tensor of every customer has a stream of its own and can be made without making the ones before it.
 */

/** Rounds that sfc32 needs until every state bit depends on every seed bit; 12 is its author's figure. */
const WARM_UP_ROUNDS = 12

/** Standard deviation of the sum of two independent uniform 16-bit integers: 65,536 / sqrt(6). */
const TWO_HALVES_DEVIATION = 65_536 / Math.sqrt(6)

export class Rng {
  #a: number
  #b: number
  #c: number
  #counter = 1

  /** Two generators made from the same parts give the same numbers; parts are compared as text, in order. */
  constructor(...seedParts: readonly (string | number)[]) {
    const text = seedParts.join('\u0000')
    this.#a = hashText(text, 0x811c9dc5)
    this.#b = hashText(text, 0x2f0b4c47)
    this.#c = hashText(text, 0x6b84221f)
    for (let round = 0; round < WARM_UP_ROUNDS; round += 1) this.uint32()
  }

  /** The next integer, uniform over 0 to 2^32 - 1. */
  uint32(): number {
    const result = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) | 0
    return result >>> 0
  }

  /** Uniform over [0, 1). */
  uniform(): number {
    return this.uint32() / 0x1_0000_0000
  }

  /** An integer uniform over 0 to `limit` - 1; `limit` at most 2^32. */
  below(limit: number): number {
    return Math.floor(this.uniform() * limit)
  }

  /**
   * Fills `target` with bell-shaped values of mean 0 and the given standard deviation, none further out than 2.45 deviations.
   * One draw per value: the sum of its two 16-bit halves (a triangular distribution) is close enough to a normal one for weights,
   * and 100 MB take about 0.15 s where a logarithm and a root per value take over a second.
   */
  fillBell(target: Float32Array, deviation: number): Float32Array {
    const scale = deviation / TWO_HALVES_DEVIATION
    let a = this.#a
    let b = this.#b
    let c = this.#c
    let counter = this.#counter
    for (let i = 0; i < target.length; i += 1) {
      // The same step as uint32(), on locals: private fields cost four times as much in this loop.
      const result = (a + b + counter) | 0
      counter = (counter + 1) | 0
      a = b ^ (b >>> 9)
      b = (c + (c << 3)) | 0
      c = (((c << 21) | (c >>> 11)) + result) | 0
      target[i] = ((result >>> 16) + (result & 0xffff) - 65_535) * scale
    }
    this.#a = a
    this.#b = b
    this.#c = c
    this.#counter = counter
    return target
  }
}

/** FNV-1a over UTF-16 units, finished with MurmurHash3's 32-bit mixer so that near texts end far apart. */
function hashText(text: string, start: number): number {
  let hash = start
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
