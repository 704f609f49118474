/**
 * Reads the files of pinned models again now and then: a pin keeps the entry, but not the kernel from giving its pages to somebody
 * else, and a worker would then wait for the disk in the middle of a run. What is warm is only sampled.
 */
import type { Clock, Timer } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'

export interface PinReaderOptions<M> {
  readonly clock: Clock
  /** Between two rounds; 0 = never. */
  readonly everyMs: number
  /** Of the models that are pinned and in memory now. */
  readonly pinned: () => readonly M[]
  readonly pageIn: (manifest: M) => Promise<unknown>
}

export class PinReader<M> {
  readonly #options: PinReaderOptions<M>
  readonly #timer: Timer | undefined
  #isReading = false
  #isClosed = false

  constructor(options: PinReaderOptions<M>) {
    this.#options = options
    const { clock, everyMs } = options
    this.#timer = everyMs === 0 ? undefined : clock.every(everyMs, () => detach(this.#round()))
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
  }

  /** One model after the other, at the pager's rate; a round that takes longer than the pause lets the next one pass. */
  async #round(): Promise<void> {
    if (this.#isReading) return
    this.#isReading = true
    for (const manifest of this.#options.pinned()) {
      if (this.#isClosed) break
      // Files that were damaged are the business of whoever opens them next: it makes them again, and says so.
      await this.#options.pageIn(manifest).catch(() => undefined)
    }
    this.#isReading = false
  }
}
