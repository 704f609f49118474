/**
 * Turns at something that costs the event loop a little each time, given out in the order they are asked for, so many in so many
 * milliseconds: what a whole crowd has waited for comes to all of it in the same moment.
 */
import type { Clock } from '../lib/clock.ts'

export interface TurnsOptions {
  readonly clock: Clock
  /** So many turns are given out at once, */
  readonly perTick: number
  /** and then none for so long. */
  readonly tickMs: number
}

export class Turns {
  readonly #options: TurnsOptions
  readonly #waiting = new Set<() => void>()
  #given = 0
  #isTicking = false

  constructor(options: TurnsOptions) {
    this.#options = options
  }

  /** Resolves when it is the caller's turn, or after `maxMs` without one. */
  next(maxMs: number): Promise<void> {
    if (this.#waiting.size === 0 && this.#given < this.#options.perTick) {
      this.#given++
      this.#tick()
      return Promise.resolve()
    }
    return new Promise((resolve) => {
      const go = (): void => {
        timer.cancel()
        this.#waiting.delete(go)
        resolve()
      }
      const timer = this.#options.clock.after(maxMs, go)
      this.#waiting.add(go)
    })
  }

  #tick(): void {
    if (this.#isTicking) return
    this.#isTicking = true
    const { clock, perTick, tickMs } = this.#options
    clock.after(tickMs, () => {
      this.#isTicking = false
      const now = Iterator.from(this.#waiting).take(perTick).toArray()
      this.#given = now.length
      for (const go of now) go()
      if (this.#given > 0) this.#tick()
    })
  }
}
