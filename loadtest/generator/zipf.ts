/**
 * Draws ranks with Zipf's law: rank k (0 first) with probability proportional to 1 / (k + 1)^exponent.
 * Rejection-inversion (W. Hörmann, G. Derflinger: Rejection-Inversion to Generate Variates from Monotone Discrete Distributions,
 * ACM TOMACS 6(3), 1996): no table, constant time at any number of ranks, any exponent above 0.
 */
import type { Rng } from '../models/index.ts'

export class ZipfSampler {
  readonly #rng: Rng
  readonly #ranks: number
  readonly #exponent: number
  readonly #areaOfFirst: number
  readonly #areaOfAll: number
  readonly #shortcut: number

  /** `ranks` >= 1, `exponent` > 0; both are taken as they are for the sampler's life. */
  constructor(rng: Rng, ranks: number, exponent: number) {
    if (!Number.isInteger(ranks) || ranks < 1) throw new RangeError(`ranks is ${ranks}, expected a positive integer`)
    if (!(exponent > 0)) throw new RangeError(`exponent is ${exponent}, expected a number above 0`)
    this.#rng = rng
    this.#ranks = ranks
    this.#exponent = exponent
    this.#areaOfFirst = this.#area(1.5) - 1
    this.#areaOfAll = this.#area(ranks + 0.5)
    this.#shortcut = 2 - this.#inverseArea(this.#area(2.5) - this.#density(2))
  }

  /** The next rank, 0 to `ranks` - 1. */
  next(): number {
    for (;;) {
      const u = this.#areaOfAll + this.#rng.uniform() * (this.#areaOfFirst - this.#areaOfAll)
      const x = this.#inverseArea(u)
      const k = Math.min(Math.max(Math.round(x), 1), this.#ranks)
      if (k - x <= this.#shortcut || u >= this.#area(k + 0.5) - this.#density(k)) return k - 1
    }
  }

  #density(x: number): number {
    return x ** -this.#exponent
  }

  /** Integral of the density from 1 to `x`. */
  #area(x: number): number {
    const power = 1 - this.#exponent
    const log = Math.log(x)
    return power === 0 ? log : Math.expm1(power * log) / power
  }

  #inverseArea(area: number): number {
    const power = 1 - this.#exponent
    if (power === 0) return Math.exp(area)
    // Rounding may carry the argument just below -1, where log1p has no value.
    return Math.exp(Math.log1p(Math.max(area * power, -1)) / power)
  }
}
