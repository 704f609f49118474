/** A rate with a burst, as a pure count of tokens: full at first, refilled with time, never above `burst`. */
export interface TokenBucketOptions {
  readonly perSecond: number
  /** Tokens when full; at least 1, or nothing would ever pass. */
  readonly burst: number
}

export class TokenBucket {
  readonly #options: TokenBucketOptions
  #tokens: number
  #at: number

  /** `now` in monotonic milliseconds, as in every call. */
  constructor(options: TokenBucketOptions, now: number) {
    this.#options = options
    this.#tokens = options.burst
    this.#at = now
  }

  /** Takes a token if there is one. */
  take(now: number): boolean {
    const { perSecond, burst } = this.#options
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#at) / 1000) * perSecond)
    this.#at = now
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  /** Milliseconds until `take` would succeed; 0 = now. */
  waitMs(now: number): number {
    const { perSecond } = this.#options
    const missing = 1 - this.#tokens - ((now - this.#at) / 1000) * perSecond
    return Math.max(0, (missing / perSecond) * 1000)
  }
}
