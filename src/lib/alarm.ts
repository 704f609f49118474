/** Turns a noisy measure into few alarms: raised when several samples in a row are over the limit, cleared when as many are not. */

export interface AlarmOptions {
  /** Samples above it are bad. */
  readonly limit: number
  /** Samples in a row that raise, and that clear. */
  readonly inARow: number
}

export class Alarm {
  readonly #options: AlarmOptions
  #isRaised = false
  /** Samples in a row that speak against the present state. */
  #against = 0

  constructor(options: AlarmOptions) {
    this.#options = options
  }

  get isRaised(): boolean {
    return this.#isRaised
  }

  /** Takes the next sample. @returns what changed by it */
  next(value: number): 'raised' | 'cleared' | undefined {
    const { limit, inARow } = this.#options
    this.#against = value > limit === this.#isRaised ? 0 : this.#against + 1
    if (this.#against < inARow) return undefined
    this.#against = 0
    this.#isRaised = !this.#isRaised
    return this.#isRaised ? 'raised' : 'cleared'
  }
}
