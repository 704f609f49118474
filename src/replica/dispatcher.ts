/**
 * Hands queued requests to workers and their answers back. Workers pull: whenever one can take more, the queues say what.
 * A worker that is free takes at once; a busy one is given a little ahead, so that it never waits for the round trip.
 * Owns the lease of a request from the queue until its hand-over has ended, also when nobody waits for the answer any more.
 */

import type { Lease } from '../cache/lease.ts'
import { ChildGoneError } from '../child/calls.ts'
import { isDeviceOutOfMemory } from '../domain/device-memory.ts'
import { GatewayError } from '../domain/errors.ts'
import { slotOf } from '../domain/worker-slot.ts'
import type { Timer } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import type { Estimates } from '../scheduler/estimates.ts'
import type { HandOver, WorkQueues } from '../scheduler/work-queues.ts'
import type { HandOverReport } from '../worker/messages.ts'
import { answer } from './answer.ts'
import { WorkerDied } from './death.ts'
import { HangWatch, type HangWatchOptions } from './hang-watch.ts'
import { type Lane, TakenBackError, takenBack } from './lane.ts'
import type { Lanes } from './lanes.ts'
import type { ReplicaRequest } from './request.ts'
import type { SessionWorker } from './session-worker.ts'
import type { Session, Sessions } from './sessions.ts'

export interface DispatcherOptions extends Omit<HangWatchOptions, 'isWaitedFor'> {
  readonly queues: WorkQueues<ReplicaRequest>
  readonly sessions: Sessions
  readonly estimates: Estimates
  /** Expected milliseconds that a worker may be given ahead of the end of its current run. */
  readonly aheadMs: number
  /** Milliseconds until the first model that was passed over just now, because it waits for company, may run; Infinity = none. */
  readonly takeSoonestMs: () => number
  /** There was no room to open the model in a worker that is not its home. */
  readonly onNoRoom: (key: string) => void
  readonly onHandedBack: (handOver: HandOver<ReplicaRequest>, report: HandOverReport) => void
  /**
   * A worker died while it was at this hand-over, or at the open that the hand-over waited for. Its requests are the callee's from
   * now on: it ends each and calls `release`, or calls `takeBack` and hands it in again.
   */
  readonly onDied: (handOver: HandOver<ReplicaRequest>, died: WorkerDied) => void
  /** Why a request that came back from a worker may not be handed to another, as it may have been quarantined meanwhile. */
  readonly refusal: (request: ReplicaRequest) => GatewayError | undefined
  /** May answers of this model be given out? No when the files behind its sessions turned out to be damaged. */
  readonly isTrusted: (key: string) => boolean
  /** Requests whose answers may not be given out; the callee's as with `onDied`. */
  readonly onUntrusted: (requests: readonly ReplicaRequest[]) => void
}

/** A request that never began to run is given to another worker this often. */
const MAX_REPLAYS = 2
const UNLUCKY_RETRY_MS = 1000
/** How often queues are looked at while something waits that no event will release, such as a hung home worker. */
const LOOK_AGAIN_MS = 20

/** The run was made on files that turned out to be damaged. */
class UntrustedError extends Error {}

export class Dispatcher {
  readonly #options: DispatcherOptions
  readonly #lanes: Lanes
  readonly #onIdle = new Set<() => void>()
  readonly #hangWatch: HangWatch
  #pending = 0
  #isPumpDue = false
  #lookAgain: { readonly timer: Timer; readonly at: number } | undefined
  #isClosed = false
  /** One that ended while it waited leaves the queue. */
  readonly #leave = (request: ReplicaRequest) => {
    if (this.#options.queues.remove(request)) this.#release(request)
  }

  constructor(options: DispatcherOptions) {
    this.#options = options
    this.#lanes = options.lanes
    this.#hangWatch = new HangWatch({ ...options, isWaitedFor: () => options.queues.depth > 0 })
  }

  /** Queues a request of a leased key. From here on the dispatcher owns the lease. */
  enqueue(request: ReplicaRequest, lease: Lease): void {
    if (request.isSettled) {
      lease.release()
      return
    }
    const { clock, estimates } = this.#options
    request.lease = lease
    this.#pending++
    request.enqueuedAt = clock.now()
    request.expectedMs = estimates.eachMs(request.key, false)
    this.#queue(request)
    this.#pumpSoon()
  }

  workerUp(worker: SessionWorker): void {
    this.#lanes.add(worker)
    this.#options.queues.workerUp(worker.slot)
    this.#pumpSoon()
  }

  /**
   * From here on the worker has its slot: it is given what the one before would have been given, and homes stay where they are.
   * Resolves when the one before has ended what it was given.
   */
  succeed(worker: SessionWorker): Promise<void> {
    const ended = this.#lanes.succeed(worker)
    this.#options.queues.workerUp(worker.slot)
    this.#pumpSoon()
    return ended
  }

  /** Its hand-overs fail by themselves, as their calls do. */
  workerDown(workerId: string): void {
    if (this.#lanes.remove(workerId)) this.#options.queues.workerDown(slotOf(workerId))
    this.#pumpSoon()
  }

  /** The model cannot be run, or not for some: its requests that wait end with the `reason` given for them. */
  refuse(key: string, reason: (request: ReplicaRequest) => GatewayError | undefined): void {
    // Each leaves the queue as it fails, which must not change under the one who reads it.
    const waiting = Array.from(this.#options.queues.itemsOf(key))
    for (const request of waiting) {
      const error = reason(request)
      if (error !== undefined) request.fail(error)
    }
  }

  /** Takes the model's waiting requests out of the queue; each is the caller's, as with `onDied`. */
  withdraw(key: string): ReplicaRequest[] {
    const { queues } = this.#options
    return Array.from(queues.itemsOf(key)).filter((request) => queues.remove(request))
  }

  /** A request that the dispatcher gave away has ended. */
  release(request: ReplicaRequest): void {
    this.#release(request)
  }

  /** As `release`, for a request that has not ended and is none of the dispatcher's until it is enqueued again. */
  takeBack(request: ReplicaRequest): void {
    const { onReleased } = request
    request.onReleased = undefined
    this.#release(request)
    request.onReleased = onReleased
  }

  /** Something that kept models from workers is over: looks at the queues. */
  wake(): void {
    this.#pumpSoon()
  }

  /** A worker to open a model in that nobody has asked for yet; undefined when there is none, or none may be bound to it by that. */
  homeWorker(key: string): SessionWorker | undefined {
    const { queues } = this.#options
    const home = queues.opensAhead ? queues.homeOf(key) : undefined
    return home === undefined ? undefined : this.#lanes.of(home)
  }

  /** The worker of this id, while it is up and has its slot or leaves it. */
  worker(workerId: string): SessionWorker | undefined {
    return this.#lanes.all().find((lane) => lane.id === workerId)
  }

  /** Requests queued or handed over. */
  get pending(): number {
    return this.#pending
  }

  get workersUp(): number {
    return this.#lanes.size
  }

  /** Resolves when nothing is queued or handed over: true, or false after `timeoutMs`. */
  idle(timeoutMs: number): Promise<boolean> {
    if (this.#pending === 0) return Promise.resolve(true)
    return new Promise((resolve) => {
      const end = () => {
        timer.cancel()
        this.#onIdle.delete(end)
        resolve(this.#pending === 0)
      }
      const timer = this.#options.clock.after(timeoutMs, end)
      this.#onIdle.add(end)
    })
  }

  /** Gives nothing to workers any more; what they have is still answered. Idempotent. */
  close(): void {
    this.#isClosed = true
    this.#hangWatch.close()
    this.#lookAgain?.timer.cancel()
    this.#lookAgain = undefined
  }

  #queue(request: ReplicaRequest): void {
    request.waitsFor = 'a worker'
    request.onSettled(this.#leave)
    this.#options.queues.enqueue(request)
  }

  #release(request: ReplicaRequest): void {
    const { lease } = request
    if (lease === undefined) return
    request.lease = undefined
    this.#pending--
    lease.release()
    request.onReleased?.()
    if (this.#pending === 0) for (const end of this.#onIdle) end()
  }

  /** After everything that arrived in this turn of the event loop: what came together is handed over together. */
  #pumpSoon(): void {
    if (this.#isPumpDue) return
    this.#isPumpDue = true
    setImmediate(() => {
      this.#isPumpDue = false
      this.#pump()
    })
  }

  #pump(): void {
    if (this.#isClosed) return
    const { queues } = this.#options
    // Everyone's own work first, or whoever comes first would take that of others who are just as free.
    for (const lane of this.#lanes.serving()) while (queues.depthAt(lane.slot) > 0 && this.#give(lane));
    for (const lane of this.#lanes.serving()) while (queues.depth > 0 && this.#give(lane));
    const soonestMs = this.#options.takeSoonestMs()
    if (queues.depth > 0) this.#lookAgainIn(Math.min(LOOK_AGAIN_MS, soonestMs))
  }

  #lookAgainIn(ms: number): void {
    const { clock } = this.#options
    const at = clock.now() + ms
    if (this.#lookAgain !== undefined && this.#lookAgain.at <= at) return
    this.#lookAgain?.timer.cancel()
    const timer = clock.after(ms, () => {
      this.#lookAgain = undefined
      this.#pump()
    })
    this.#lookAgain = { timer, at }
  }

  /** @returns false when there is nothing for this worker, or no room in it */
  #give(lane: Lane): boolean {
    const { queues, clock, aheadMs } = this.#options
    if (!lane.hasRoom(aheadMs)) return false
    const { handOver, expired, needsFreshProcess } = queues.nextFor(lane.slot, clock.now())
    for (const request of expired) {
      // Its own timer is about to say so; a request that is late never reaches a worker.
      request.expire()
      this.#release(request)
    }
    if (needsFreshProcess === true) lane.kill('rebind')
    if (handOver === undefined) return false
    lane.give(handOver)
    detach(this.#run(lane, handOver))
    return true
  }

  async #run(lane: Lane, handOver: HandOver<ReplicaRequest>): Promise<void> {
    const { clock, queues } = this.#options
    const { items } = handOver
    const handedAt = clock.now()
    for (const request of items) {
      request.timings.queue = handedAt - request.enqueuedAt
      request.waitsFor = 'its answer'
    }
    let busyMs = 0
    let over = items
    try {
      busyMs = await this.#handOver(lane, handOver)
    } catch (error) {
      over = this.#failed(lane, handOver, error)
    }
    lane.end(handOver)
    this.#lanes.ended(lane)
    queues.settle(handOver, busyMs, clock.now())
    for (const request of over) this.#release(request)
    this.#pumpSoon()
  }

  /** @returns milliseconds that the worker was busy with it */
  async #handOver(lane: Lane, handOver: HandOver<ReplicaRequest>): Promise<number> {
    const { sessions } = this.#options
    const { key, items } = handOver
    const session = sessions.find(key, lane.id) ?? (await sessions.open(key, lane))
    if (!lane.isUp) throw new ChildGoneError(`worker ${lane.id} went away before it was sent anything`)
    const done = sessions.use(session.placement, items.length)
    try {
      const running = lane.send(handOver, session.placement.id)
      const openMs = session.opening === undefined ? 0 : await this.#opened(session.opening, handOver, running)
      const report = await running
      if (!this.#options.isTrusted(key)) throw new UntrustedError()
      answer(items, report)
      this.#learn(handOver, report)
      return openMs + report.decodeMs + report.runMs + report.encodeMs
    } finally {
      done()
    }
  }

  /** Waits for an open that was sent just before the run. @returns its milliseconds */
  async #opened(
    opening: NonNullable<Session['opening']>,
    { key, items }: HandOver<ReplicaRequest>,
    running: Promise<unknown>,
  ): Promise<number> {
    for (const request of items) if (request.cache === 'hit') request.cache = 'load'
    // The run fails with the open; the open says why.
    const report = await Promise.race([opening, takenBack(running)])
    // Warm-up is what an open costs the worker and whoever waits for it.
    const openMs = report.openMs + report.warmUpMs
    this.#options.estimates.observeOpen(key, openMs)
    for (const request of items) request.timings.open = openMs
    return openMs
  }

  #learn(handOver: HandOver<ReplicaRequest>, report: HandOverReport): void {
    const { decodeMs, runMs, encodeMs, runs } = report
    const busyMs = decodeMs + runMs + encodeMs
    // Requests that were refused before a run tell nothing of what the model takes.
    if (runs > 0) this.#options.estimates.observeRun(handOver.key, { requests: handOver.items.length, runs, busyMs })
    this.#options.onHandedBack(handOver, report)
  }

  /** Nothing in the hand-over was answered. @returns the requests that ended by it; the others wait for another worker */
  #failed(lane: Lane, handOver: HandOver<ReplicaRequest>, error: unknown): readonly ReplicaRequest[] {
    if (error instanceof WorkerDied) {
      this.#options.onDied(handOver, error)
      return []
    }
    if (error instanceof UntrustedError) {
      this.#options.onUntrusted(handOver.items)
      return []
    }
    const mayQueue = this.#mayQueueAgain(lane, handOver, error)
    const reason = toGatewayError(error)
    return handOver.items.filter((request) => {
      const refusal = this.#options.refusal(request)
      if (refusal === undefined && !request.isSettled && mayQueue(request)) {
        this.#queue(request)
        return false
      }
      request.fail(refusal ?? reason)
      return true
    })
  }

  /** Which requests of a hand-over that failed may be handed over again, as none of them has begun to run? */
  #mayQueueAgain(lane: Lane, handOver: HandOver<ReplicaRequest>, error: unknown): (request: ReplicaRequest) => boolean {
    // Nothing died: it waits on, for as long as its deadline lets it.
    if (error instanceof TakenBackError) return () => true
    if (error instanceof ChildGoneError) return (request) => request.replays++ < MAX_REPLAYS
    const { key } = handOver
    const { queues, onNoRoom } = this.#options
    if (!(error instanceof GatewayError) || error.code !== 'CAPACITY_EXHAUSTED') return never
    // Room was made since, as much as may help: once more.
    if (isDeviceOutOfMemory(error)) return (request) => request.replays++ === 0
    onNoRoom(key)
    // Where there was no room the model need not be: from now on its home is where it is open, or can be, as the first session's room is reserved.
    return queues.homeOf(key) === lane.slot ? never : () => true
  }
}

function never(): boolean {
  return false
}

function toGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error
  return error instanceof ChildGoneError
    ? new GatewayError(
        'OVERLOADED',
        `${MAX_REPLAYS + 1} worker processes died of other things before this request could begin; it did no harm and may be sent again`,
        { retryAfterMs: UNLUCKY_RETRY_MS },
        { cause: error },
      )
    : new GatewayError('INTERNAL', 'a hand-over failed in a way nobody foresaw', {}, { cause: error })
}
