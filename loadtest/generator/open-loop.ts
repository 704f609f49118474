/**
 * Sends on a schedule made ahead of any answer. Work that finds no free lane waits in order, and its latency still counts from when it
 * was due: a slow server cannot slow the questions down, so nothing is left out of the percentiles (no coordinated omission).
 */
import type { Clock } from '../../src/lib/clock.ts'
import type { Lane } from './lane.ts'

export interface OpenLoopOptions<Work> {
  readonly lanes: readonly Lane<Work>[]
  /** Undefined ends the schedule. */
  next(): Work | undefined
  /** Intended send times in milliseconds from the start, ascending. */
  readonly arrivals: Iterator<number, number | undefined>
  readonly clock: Clock
  /** Whatever is not answered so long after the start is given up. */
  readonly giveUpAfterMs: number
  /** How late a piece of work was noticed, in milliseconds: the generator's own fault. */
  onLate(ms: number): void
}

/** The event loop's timers have whole milliseconds. */
const TICK_MS = 1

/** Resolves when all is answered or given up, with the number of pieces of work that were due and never sent. */
export function openLoop<Work>(options: OpenLoopOptions<Work>): Promise<number> {
  const { lanes, arrivals, clock, giveUpAfterMs } = options
  const free = [...lanes]
  const waiting = new Fifo<{ work: Work; dueAt: number }>()
  const startedAt = clock.now()
  let nextMs = arrivals.next().value

  return new Promise((resolve) => {
    const isAnswered = () => nextMs === undefined && waiting.length === 0 && free.length === lanes.length
    const dispatch = (): void => {
      while (free.length > 0) {
        const due = waiting.shift()
        if (due === undefined) break
        const lane = free.pop()
        lane?.(due.work, due.dueAt, () => {
          free.push(lane)
          dispatch()
        })
      }
      if (isAnswered()) finish()
    }
    const finish = (): void => {
      timer.cancel()
      resolve(waiting.length)
    }
    const timer = clock.every(TICK_MS, () => {
      const elapsed = clock.now() - startedAt
      if (elapsed > giveUpAfterMs) return finish()
      while (nextMs !== undefined && nextMs <= elapsed) {
        const work = options.next()
        if (work === undefined) {
          nextMs = undefined
          break
        }
        options.onLate(elapsed - nextMs)
        waiting.push({ work, dueAt: startedAt + nextMs })
        nextMs = arrivals.next().value
      }
      dispatch()
    })
  })
}

/** A queue whose shift does not move what stays; the space of what left is taken back when it runs empty. */
class Fifo<T> {
  #items: T[] = []
  #first = 0

  get length(): number {
    return this.#items.length - this.#first
  }

  push(item: T): void {
    this.#items.push(item)
  }

  shift(): T | undefined {
    if (this.length === 0) return undefined
    const item = this.#items[this.#first]
    this.#first += 1
    if (this.length === 0) {
      this.#items = []
      this.#first = 0
    }
    return item
  }
}
