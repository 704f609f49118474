/** How fast requests are finished: an exponentially decayed count, so that `Retry-After` follows what happens now. */
const TIME_CONSTANT_MS = 5000
const MIN_RETRY_MS = 50
const MAX_RETRY_MS = 60_000

export class DrainRate {
  #count = 0
  #at: number
  readonly #startedAt: number

  constructor(now: number) {
    this.#at = now
    this.#startedAt = now
  }

  /** `finished` requests left their queue, however they ended. */
  record(finished: number, now: number): void {
    this.#decay(now)
    this.#count += finished
  }

  /** Requests per millisecond; 0 when nothing was finished lately. */
  perMs(now: number): number {
    this.#decay(now)
    // A young counter has not filled its window yet.
    const window = TIME_CONSTANT_MS * -Math.expm1(-(now - this.#startedAt) / TIME_CONSTANT_MS)
    return window <= 0 ? 0 : this.#count / Math.max(window, 1)
  }

  /** When `depth` requests will have been worked off, within sane bounds. */
  retryAfterMs(depth: number, now: number): number {
    const rate = this.perMs(now)
    if (rate <= 0) return MAX_RETRY_MS
    return Math.ceil(Math.min(MAX_RETRY_MS, Math.max(MIN_RETRY_MS, depth / rate)))
  }

  #decay(now: number): void {
    this.#count *= Math.exp(-Math.max(0, now - this.#at) / TIME_CONSTANT_MS)
    this.#at = Math.max(this.#at, now)
  }
}
