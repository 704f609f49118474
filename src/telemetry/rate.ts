/** How often something happens now: each happening counts for `1 / tau` at first and fades by `e` every `tau`. */

export class Rate {
  readonly #tauMs: number
  #perMs = 0
  #at = 0

  /** `tauMs`: how far back it looks; what is older hardly counts. */
  constructor(tauMs: number) {
    this.#tauMs = tauMs
  }

  /** It happened `times` at `now`, in monotonic milliseconds as in every call. */
  add(now: number, times = 1): void {
    this.#perMs = this.#faded(now) + times / this.#tauMs
    this.#at = now
  }

  perSecond(now: number): number {
    return this.#faded(now) * 1000
  }

  #faded(now: number): number {
    return this.#perMs === 0 ? 0 : this.#perMs * Math.exp((this.#at - now) / this.#tauMs)
  }
}
