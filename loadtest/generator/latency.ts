/** Latencies in an HdrHistogram of microseconds with three significant digits. */
import hdr from 'hdr-histogram-js'
import type { LatencySummary } from './plan.ts'

/** Ten minutes; anything slower counts as that. */
const LONGEST_US = 600_000_000

export class LatencyRecorder {
  readonly #histogram = hdr.build({
    bitBucketSize: 32,
    autoResize: true,
    lowestDiscernibleValue: 1,
    highestTrackableValue: LONGEST_US,
    numberOfSignificantValueDigits: 3,
  })

  record(ms: number): void {
    this.#histogram.recordValue(Math.min(Math.max(Math.round(ms * 1000), 0), LONGEST_US))
  }

  summary(): LatencySummary {
    const at = (percentile: number) => this.#histogram.getValueAtPercentile(percentile) / 1000
    const count = this.#histogram.totalCount
    if (count === 0) return { count, mean: 0, p50: 0, p95: 0, p99: 0, max: 0 }
    return {
      count,
      mean: this.#histogram.mean / 1000,
      p50: at(50),
      p95: at(95),
      p99: at(99),
      max: this.#histogram.maxValue / 1000,
    }
  }

  reset(): void {
    this.#histogram.reset()
  }
}
