/** How far a fetch is, and how long the rest will take at the pace of the last seconds. */
import type { FetchProgress } from '../domain/fetch-progress.ts'
import type { Clock } from '../lib/clock.ts'

const WINDOW_MS = 5_000
const SAMPLE_MS = 250

export class ProgressMeter {
  #bytes: number
  readonly #clock: Clock
  /** The oldest first; spans the window. */
  readonly #samples: Array<{ readonly at: number; readonly done: number }>
  #done = 0

  constructor(bytes: number, clock: Clock) {
    this.#bytes = bytes
    this.#clock = clock
    this.#samples = [{ at: clock.now(), done: 0 }]
  }

  /** How many bytes it will be, when that is known better than at the beginning. */
  expect(bytes: number): void {
    this.#bytes = bytes
  }

  /** Negative where something is fetched again. */
  add(bytes: number): void {
    this.#done += bytes
    const now = this.#clock.now()
    if (now - (this.#samples.at(-1)?.at ?? 0) < SAMPLE_MS) return
    this.#samples.push({ at: now, done: this.#done })
    while ((this.#samples[1]?.at ?? now) < now - WINDOW_MS) this.#samples.shift()
  }

  read(): FetchProgress {
    const [first] = this.#samples
    const now = this.#clock.now()
    const took = first === undefined ? 0 : now - first.at
    const perMs = took <= 0 || first === undefined ? 0 : Math.max(0, this.#done - first.done) / took
    return {
      bytesDone: this.#done,
      bytes: this.#bytes,
      bytesPerSecond: Math.round(perMs * 1000),
      ...(perMs > 0 && { etaMs: Math.ceil((this.#bytes - this.#done) / perMs) }),
    }
  }
}
