/**
 * One life of a worker's process: what it was given, in which order it was sent, and what it died under. A hand-over whose
 * session is still being made room for was given but not sent; others may be sent before it.
 */
import type { HandOver } from '../scheduler/worker-queues.ts'
import type { ReplicaRequest } from './request.ts'
import type { SessionWorker } from './session-worker.ts'

type Given = HandOver<ReplicaRequest>

/** Hand-overs that one worker may have at a time; the time bound is the tighter one as a rule. */
const MAX_AHEAD = 8
/** Of them, those for which room is still being made: a process need not stand idle meanwhile. */
const MAX_UNSENT = 5

export class Lane {
  readonly worker: SessionWorker
  readonly #given = new Set<Given>()
  /** In the order sent, which is the order in which the process does them. */
  readonly #sent = new Set<Given>()
  readonly #opening = new Set<Given>()
  /** Monotonic time since which the process has been at the oldest hand-over it was sent. */
  #busySince = 0
  #expectedMs = 0
  #culprit: Given | undefined
  #isOver = false

  constructor(worker: SessionWorker) {
    this.worker = worker
  }

  /** Can the process still be sent anything? A successor of the process has a lane of its own. */
  get isUp(): boolean {
    return !this.#isOver && this.worker.isUp
  }

  /** Has it ended all that it was given? */
  get isEmpty(): boolean {
    return this.#given.size === 0
  }

  /** May it be given more, so that it has about `aheadMs` of work left when it ends what it does? */
  hasRoom(aheadMs: number): boolean {
    const unsent = this.#given.size - this.#sent.size
    if (!this.isUp || this.#given.size >= MAX_AHEAD || unsent >= MAX_UNSENT) return false
    return this.#sent.size === 0 || this.#expectedMs < aheadMs
  }

  give(handOver: Given): void {
    this.#given.add(handOver)
    this.#expectedMs += handOver.expectedMs
  }

  /** `isOpening`: its session is being opened just before it. */
  send(handOver: Given, now: number, isOpening: boolean): void {
    if (this.#sent.size === 0) this.#busySince = now
    if (isOpening) this.#opening.add(handOver)
    this.#sent.add(handOver)
  }

  /** The session that the hand-over waited for is open: its run begins, or is the next to. */
  opened(handOver: Given, now: number): void {
    this.#opening.delete(handOver)
    if (this.#sent.values().next().value === handOver) this.#busySince = now
  }

  /** What the process has been at for longer than `limitMs` says it may. */
  hangingOn(now: number, limitMs: (handOver: Given, isOpening: boolean) => number): Given | undefined {
    const [oldest] = this.#sent
    if (oldest === undefined || now - this.#busySince <= limitMs(oldest, this.#opening.has(oldest))) return undefined
    return oldest
  }

  /** The hand-over ended, however. */
  end(handOver: Given, now: number): void {
    this.#opening.delete(handOver)
    if (this.#sent.delete(handOver)) this.#busySince = now
    if (!this.#given.delete(handOver)) return
    this.#expectedMs = this.#given.size === 0 ? 0 : this.#expectedMs - handOver.expectedMs
  }

  /** The process died. May it have been by this hand-over? Only the oldest that was sent can have begun. */
  diedUnder(handOver: Given): boolean {
    this.#culprit ??= this.#sent.values().next().value
    return this.#culprit === handOver
  }

  over(): void {
    this.#isOver = true
  }
}
