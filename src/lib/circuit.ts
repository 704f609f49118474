/** Spares callers a place that does not answer: after some failures in a row it is not asked for a while, then by one caller, who tells. */
export interface CircuitOptions {
  /** Failures in a row after which nobody asks, */
  readonly failures: number
  /** for so long. */
  readonly openMs: number
}

export class Circuit {
  readonly #options: CircuitOptions
  #failures = 0
  #openUntil = Number.NEGATIVE_INFINITY

  constructor(options: CircuitOptions) {
    this.#options = options
  }

  /**
   * Whoever gets true asks, and says how it went. While the place is doubted, that is one caller at a time. `now` in monotonic milliseconds.
   */
  take(now: number): boolean {
    if (now < this.#openUntil) return false
    if (this.#failures >= this.#options.failures) this.#openUntil = now + this.#options.openMs
    return true
  }

  /** @returns whether it was open */
  succeeded(): boolean {
    const wasOpen = this.#failures >= this.#options.failures
    this.#failures = 0
    this.#openUntil = Number.NEGATIVE_INFINITY
    return wasOpen
  }

  /** @returns whether this is the failure that opened it */
  failed(now: number): boolean {
    this.#failures++
    if (this.#failures < this.#options.failures) return false
    this.#openUntil = now + this.#options.openMs
    return this.#failures === this.#options.failures
  }
}
