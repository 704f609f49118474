/**
 * Quantiles of the latest durations in 128 bytes: counts in buckets that grow by a quarter, all halved once there are `WINDOW`. So
 * it tells of the last one to two thousand, with an error of at most 12 %.
 */
const FIRST_MS = 0.05
const GROWTH = Math.log(1.25)
/** The last bucket begins at 64 s. */
const BUCKETS = 64
const WINDOW = 2048

export class RecentLatency {
  readonly #counts = new Uint16Array(BUCKETS)
  #count = 0

  add(ms: number): void {
    const bucket = ms <= FIRST_MS ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log(ms / FIRST_MS) / GROWTH))
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1
    if (++this.#count >= WINDOW) this.#halve()
  }

  /** Milliseconds that a share `quantile` of the latest durations did not pass; undefined when there are none. */
  quantile(quantile: number): number | undefined {
    if (this.#count === 0) return undefined
    let left = Math.ceil(quantile * this.#count)
    let bucket = 0
    while (bucket < BUCKETS - 1 && left > (this.#counts[bucket] ?? 0)) left -= this.#counts[bucket++] ?? 0
    // The middle of the bucket, on its own scale.
    return FIRST_MS * Math.exp(GROWTH * (bucket - 0.5))
  }

  #halve(): void {
    let count = 0
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const half = (this.#counts[bucket] ?? 0) >> 1
      this.#counts[bucket] = half
      count += half
    }
    this.#count = count
  }
}
