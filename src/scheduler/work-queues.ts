/** What waits for workers, as whoever hands it to them sees it. Workers are known by their slots; everything is synchronous. */
import type { QueueItem } from './fair-queue.ts'

/** Work for one worker, taken out of the queues; `settle` it exactly once. */
export interface HandOver<T> {
  readonly workerId: string
  /** Whose queue it came from. */
  readonly homeId: string
  readonly tenant: string
  readonly key: string
  readonly items: readonly T[]
  /** Of the runs; an open is not part of it. */
  readonly expectedMs: number
}

export interface NextWork<T> {
  readonly handOver?: HandOver<T>
  /** Requests whose deadline passed while they waited: they are out of the queues and never reach a worker. */
  readonly expired: readonly T[]
  /** The next work is another trust domain's: the process, which is idle, must be replaced before it gets any. */
  readonly needsFreshProcess?: true
}

export interface WorkQueues<T extends QueueItem> {
  /** Requests that wait. */
  readonly depth: number
  /** Bytes of their bodies. */
  readonly bytes: number
  /** May a model be opened in its home before anyone asks for it? */
  readonly opensAhead: boolean
  depthOf(key: string): number
  /** Requests that wait for this worker first. */
  depthAt(slot: string): number
  /** Requests of a model, first come first; the queues must not be changed meanwhile. */
  itemsOf(key: string): Iterable<T>
  /** @returns the home whose queue the request waits in; undefined while it has none */
  enqueue(item: T): string | undefined
  /** Takes a request out that waits. @returns false when it does not */
  remove(item: T): boolean
  /** Where the model's requests are served if nothing speaks against it; undefined while it has no home. */
  homeOf(key: string): string | undefined
  /** Work for a worker that can take some. */
  nextFor(slot: string, now: number): NextWork<T>
  /** The hand-over ended, however: charges what it cost its worker, the open included. */
  settle(handOver: HandOver<T>, busyMs: number, now: number): void
  /** The worker joins, or another process has its slot and what was open in the one before. */
  workerUp(slot: string): void
  /** The worker is gone. What it was running is the caller's to settle or to enqueue again. */
  workerDown(slot: string): void
}
