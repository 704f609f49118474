/** A small seeded generator (mulberry32, Tommy Ettinger): the same inputs on every machine and every run. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** Uniform in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  /** Uniform in 0 .. limit - 1. */
  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }

  /** Roughly normal, mean 0, deviation 1 (sum of four uniforms). */
  bell(): number {
    return (this.next() + this.next() + this.next() + this.next() - 2) * Math.sqrt(3)
  }
}
