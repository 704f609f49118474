/**
 * How many repeats a client may make, as a share of its calls: while the other side is down, repeats must not multiply the load
 * (Finagle's RetryBudget). Full at first, so that a client that has made few calls may repeat a few.
 */
export interface RetryBudgetOptions {
  /** Repeats that each call earns. */
  readonly perCall: number
  /** Repeats that may be saved up. */
  readonly most: number
}

export class RetryBudget {
  readonly #options: RetryBudgetOptions
  #repeats: number

  constructor(options: RetryBudgetOptions) {
    this.#options = options
    this.#repeats = options.most
  }

  /** A call is made for the first time. */
  noteCall(): void {
    const { perCall, most } = this.#options
    this.#repeats = Math.min(most, this.#repeats + perCall)
  }

  /** Takes a repeat if there is one. */
  take(): boolean {
    if (this.#repeats < 1) return false
    this.#repeats--
    return true
  }
}
