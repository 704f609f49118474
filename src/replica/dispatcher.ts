/**
 * Hands queued requests to workers and their answers back. Workers pull: whenever one can take more, the queues say what.
 * A worker that is free takes at once; a busy one is given a little ahead, so that it never waits for the round trip.
 */

import type { Lease } from '../cache/lease.ts'
import { GatewayError } from '../domain/errors.ts'
import type { Clock, Timer } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import type { Estimates } from '../scheduler/estimates.ts'
import type { HandOver, WorkerQueues } from '../scheduler/worker-queues.ts'
import type { HandOverReport } from '../worker/messages.ts'
import type { Worker } from '../worker/worker.ts'
import type { ReplicaRequest } from './request.ts'
import type { Session, Sessions } from './sessions.ts'
import { isWorkerGone } from './sessions.ts'

export interface DispatcherOptions {
  readonly clock: Clock
  readonly queues: WorkerQueues<ReplicaRequest>
  readonly sessions: Sessions
  readonly estimates: Estimates
  /** Expected milliseconds that a worker may be given ahead of the end of its current run. */
  readonly aheadMs: number
  /** Is the model's packed form worth opening by now? */
  readonly wantsPacked: (key: string) => boolean
  readonly onHandedBack: (handOver: HandOver<ReplicaRequest>, report: HandOverReport) => void
  /** A session could not be opened, for a reason that lies in the model's files. */
  readonly onOpenFailed: (key: string, error: GatewayError) => void
}

/** One life of a worker's process. */
interface Lane {
  readonly worker: Worker
  /** In the order sent, which is the order in which the worker does them. */
  readonly handOvers: Set<HandOver<ReplicaRequest>>
  expectedMs: number
  /** The hand-over the process died under: the only one that can have begun. */
  culprit: HandOver<ReplicaRequest> | undefined
}

/** Hand-overs that one worker may have at a time; `aheadMs` is the tighter bound as a rule. */
const MAX_AHEAD = 8
/** A request that never began to run is given to another worker this often. */
const MAX_REPLAYS = 2
/** How often queues are looked at while something waits that no event will release, such as a hung home worker. */
const LOOK_AGAIN_MS = 20

export class Dispatcher {
  readonly #options: DispatcherOptions
  readonly #lanes = new Map<string, Lane>()
  readonly #leases = new Map<ReplicaRequest, Lease>()
  #isPumpDue = false
  #lookAgain: Timer | undefined
  #onIdle: (() => void) | undefined

  constructor(options: DispatcherOptions) {
    this.#options = options
  }

  /** Queues a request of a leased key. From here on the dispatcher owns the lease. */
  enqueue(request: ReplicaRequest, lease: Lease): void {
    const { clock, estimates } = this.#options
    if (request.isSettled) {
      lease.release()
      return
    }
    this.#leases.set(request, lease)
    request.waitsFor = 'a worker'
    request.enqueuedAt = clock.now()
    request.expectedMs = estimates.eachMs(request.key, false)
    this.#queue(request)
    this.#pumpSoon()
  }

  workerUp(worker: Worker): void {
    this.#lanes.set(worker.id, { worker, handOvers: new Set(), expectedMs: 0, culprit: undefined })
    this.#options.queues.workerUp(worker.id)
    this.#pumpSoon()
  }

  /** Its hand-overs fail by themselves, as their calls do. */
  workerDown(workerId: string): void {
    this.#lanes.delete(workerId)
    this.#options.queues.workerDown(workerId)
    this.#pumpSoon()
  }

  /** A worker to open a model in that nobody has asked for yet. */
  homeWorker(key: string): Worker | undefined {
    const home = this.#options.queues.homeOf(key)
    return home === undefined ? undefined : this.#lanes.get(home)?.worker
  }

  /** Requests queued or handed over. */
  get pending(): number {
    return this.#leases.size
  }

  get workersUp(): number {
    return this.#lanes.size
  }

  /** Resolves when nothing is queued or handed over: true, or false after `timeoutMs`. */
  idle(timeoutMs: number): Promise<boolean> {
    if (this.#leases.size === 0) return Promise.resolve(true)
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(timeoutMs, () => {
        this.#onIdle = undefined
        resolve(false)
      })
      this.#onIdle = () => {
        timer.cancel()
        resolve(true)
      }
    })
  }

  close(): void {
    this.#lookAgain?.cancel()
  }

  #queue(request: ReplicaRequest): void {
    request.onSettled(() => {
      if (this.#options.queues.remove(request)) this.#release(request)
    })
    this.#options.queues.enqueue(request)
  }

  #release(request: ReplicaRequest): void {
    this.#leases.get(request)?.release()
    this.#leases.delete(request)
    if (this.#leases.size === 0) this.#onIdle?.()
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
    for (const lane of this.#lanes.values()) while (this.#hasRoom(lane) && this.#give(lane));
    const { queues, clock } = this.#options
    if (queues.depth > 0) {
      this.#lookAgain ??= clock.after(LOOK_AGAIN_MS, () => {
        this.#lookAgain = undefined
        this.#pump()
      })
    }
  }

  #hasRoom({ handOvers, expectedMs }: Lane): boolean {
    return handOvers.size === 0 || (handOvers.size < MAX_AHEAD && expectedMs < this.#options.aheadMs)
  }

  /** @returns false when there is nothing for this worker */
  #give(lane: Lane): boolean {
    const { queues, clock } = this.#options
    const { handOver, expired } = queues.nextFor(lane.worker.id, clock.now())
    for (const request of expired) {
      // Its own timer is about to say so; a request that is late never reaches a worker.
      request.expire()
      this.#release(request)
    }
    if (handOver === undefined) return false
    lane.handOvers.add(handOver)
    lane.expectedMs += handOver.expectedMs
    detach(this.#run(lane, handOver))
    return true
  }

  async #run(lane: Lane, handOver: HandOver<ReplicaRequest>): Promise<void> {
    const { clock, queues } = this.#options
    const { items } = handOver
    const handedAt = clock.now()
    for (const request of items) {
      request.onSettled(undefined)
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
    lane.handOvers.delete(handOver)
    lane.expectedMs = lane.handOvers.size === 0 ? 0 : lane.expectedMs - handOver.expectedMs
    queues.settle(handOver, busyMs, clock.now())
    for (const request of over) this.#release(request)
    this.#pumpSoon()
  }

  /** @returns milliseconds that the worker was busy with it */
  async #handOver(lane: Lane, handOver: HandOver<ReplicaRequest>): Promise<number> {
    const { sessions, wantsPacked } = this.#options
    const { key, items } = handOver
    const { worker } = lane
    let session = sessions.find(key, worker.id)
    if (
      session !== undefined &&
      !session.placement.isPacked &&
      wantsPacked(key) &&
      !sessions.isBusy(session.placement)
    ) {
      await sessions.close(session.placement, 'packed')
      session = undefined
    }
    session ??= await sessions.open(key, worker, wantsPacked(key))
    const done = sessions.use(session.placement, items.length)
    try {
      const running = worker.run(
        session.placement.id,
        items.map((request) => request.content),
      )
      const openMs = await this.#opened(session, handOver, running)
      const report = await running
      this.#answer(items, report)
      this.#learn(handOver, report)
      return openMs + report.decodeMs + report.runMs + report.encodeMs
    } finally {
      done()
    }
  }

  /** Waits for an open that was sent just before the run. @returns its milliseconds, 0 when the model was open */
  async #opened(
    { opening }: Session,
    { key, items }: HandOver<ReplicaRequest>,
    running: Promise<unknown>,
  ): Promise<number> {
    if (opening === undefined) return 0
    // The run fails with the open; the open says why.
    running.catch(() => undefined)
    for (const request of items) if (request.cache === 'hit') request.cache = 'load'
    const report = await opening.catch((error: unknown) => {
      if (error instanceof GatewayError) this.#options.onOpenFailed(key, error)
      throw error
    })
    // Warm-up is what an open costs the worker and whoever waits for it.
    const openMs = report.openMs + report.warmUpMs
    this.#options.estimates.observeOpen(key, openMs)
    for (const request of items) request.timings.open = openMs
    return openMs
  }

  #answer(items: readonly ReplicaRequest[], { answers, decodeMs, runMs, encodeMs }: HandOverReport): void {
    for (let i = 0; i < items.length; i++) {
      const request = items[i]
      const answer = answers[i]
      if (request === undefined) continue
      const { timings } = request
      timings.decode = decodeMs
      timings.run = runMs
      timings.encode = encodeMs
      if (answer === undefined)
        request.fail(new GatewayError('INTERNAL', 'the worker gave fewer answers than it had requests'))
      else if (answer.ok)
        request.succeed({
          body: answer.body,
          batchRows: answer.rows,
          ...(answer.jsonBytes !== undefined && { jsonBytes: answer.jsonBytes }),
        })
      else request.fail(answer.error)
    }
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
    const { items } = handOver
    // The process does hand-overs in order, so only the oldest can have begun; the others are safe to run elsewhere.
    if (isWorkerGone(error)) lane.culprit ??= lane.handOvers.values().next().value
    const mayReplay = isWorkerGone(error) && lane.culprit !== handOver
    return items.filter((request) => {
      if (mayReplay && request.replays < MAX_REPLAYS && !request.isSettled) {
        request.replays++
        this.#queue(request)
        return false
      }
      request.fail(isWorkerGone(error) ? workerCrashed(error) : toGatewayError(error))
      return true
    })
  }
}

function workerCrashed(cause: unknown): GatewayError {
  return new GatewayError('WORKER_CRASHED', 'the worker process died while this request ran', {}, { cause })
}

function toGatewayError(error: unknown): GatewayError {
  return error instanceof GatewayError
    ? error
    : new GatewayError('INTERNAL', 'a hand-over failed in a way nobody foresaw', {}, { cause: error })
}
