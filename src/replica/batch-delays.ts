/**
 * Models whose owner lets requests wait for company: until the oldest has waited long enough, or there is a full run. Remembers
 * how soon the first of those that were told to wait may go, so that nobody has to ask again and again.
 */
import type { Resident } from './residents.ts'
import { batchingOf } from './residents.ts'

export interface WaitingRequests {
  depthOf(key: string): number
  /** First come first. */
  itemsOf(key: string): Iterable<{ readonly enqueuedAt: number }>
}

export class BatchDelays {
  readonly #residents: ReadonlyMap<string, Resident>
  #soonestMs = Number.POSITIVE_INFINITY

  constructor(residents: ReadonlyMap<string, Resident>) {
    this.#residents = residents
  }

  mayRun(key: string, queues: WaitingRequests, now: number): boolean {
    const resident = this.#residents.get(key)
    const maxDelayMs = resident?.version.settings.batching.maxDelayMs ?? 0
    if (resident === undefined || maxDelayMs === 0) return true
    const { isBatchSafe, maxRows } = batchingOf(resident)
    // Company that cannot be stacked is not worth a wait.
    if (!isBatchSafe || queues.depthOf(key) >= maxRows) return true
    for (const { enqueuedAt } of queues.itemsOf(key)) {
      const leftMs = enqueuedAt + maxDelayMs - now
      if (leftMs <= 0) return true
      this.#soonestMs = Math.min(this.#soonestMs, leftMs)
      return false
    }
    return true
  }

  /** Milliseconds until the first of those refused since the last call may run; Infinity when there was none. */
  takeSoonestMs(): number {
    const soonestMs = this.#soonestMs
    this.#soonestMs = Number.POSITIVE_INFINITY
    return soonestMs
  }
}
