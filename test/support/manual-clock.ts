/**
 * Time that a test moves by hand. Timers fire in the order of their due times (ties: in the order they were set), each at
 * its own due time, so that a chain of timers inside one `advance` sees the same instants as it would in real life.
 */
import type { Clock, Timer } from '../../src/lib/clock.ts'

interface Due {
  at: number
  readonly order: number
  /** Milliseconds between calls; undefined for a timer that fires once. */
  readonly everyMs: number | undefined
  readonly task: () => void
}

export interface ManualClockOptions {
  /** Monotonic start. */
  readonly now?: number
  /** Wall clock at the start, milliseconds since 1970. */
  readonly wall?: number
}

export class ManualClock implements Clock {
  readonly #timers = new Set<Due>()
  #now: number
  #wallOffset: number
  #order = 0

  constructor({ now = 0, wall = 1_750_000_000_000 }: ManualClockOptions = {}) {
    this.#now = now
    this.#wallOffset = wall - now
  }

  now(): number {
    return this.#now
  }

  wall(): number {
    return this.#now + this.#wallOffset
  }

  after(ms: number, task: () => void): Timer {
    return this.#add(Math.max(ms, 0), undefined, task)
  }

  every(ms: number, task: () => void): Timer {
    const everyMs = Math.max(ms, 1)
    return this.#add(everyMs, everyMs, task)
  }

  /** Timers set and neither fired nor cancelled: 0 at the end of a test of a class that cleans up. */
  get pendingTimers(): number {
    return this.#timers.size
  }

  /** Moves time by `ms`, fires what is due, and lets promises settle before, between and after the timers. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    await settle()
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#fire(next)
      await settle()
    }
    this.#now = end
  }

  /** As `advance`, but without a turn for promises: for code that is synchronous. */
  tick(ms: number): void {
    const end = this.#now + ms
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) this.#fire(next)
    this.#now = end
  }

  /** Somebody sets the machine's date; monotonic time and timers do not notice. */
  jumpWall(ms: number): void {
    this.#wallOffset += ms
  }

  #add(ms: number, everyMs: number | undefined, task: () => void): Timer {
    const timer: Due = { at: this.#now + ms, order: this.#order++, everyMs, task }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  #next(end: number): Due | undefined {
    let next: Due | undefined
    for (const timer of this.#timers) {
      if (timer.at > end) continue
      if (next === undefined || timer.at < next.at || (timer.at === next.at && timer.order < next.order)) next = timer
    }
    return next
  }

  #fire(timer: Due): void {
    this.#now = Math.max(this.#now, timer.at)
    if (timer.everyMs === undefined) this.#timers.delete(timer)
    else timer.at += timer.everyMs
    timer.task()
  }
}

/** Lets every promise that can settle without I/O or timers settle. */
export function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
