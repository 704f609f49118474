/**
 * One fair queue per worker that is up, and the rule who serves which model: its home (rendezvous over the workers), or an idle
 * worker for which waiting at home would take longer. Workers pull: `nextFor` is asked whenever a worker can take more.
 * Everything is synchronous; nothing is dispatched and no timer is set here.
 */
import { homeByRendezvous } from '../lib/rendezvous.ts'
import type { FairQueueOptions, QueueItem, Turn } from './fair-queue.ts'
import { FairQueue } from './fair-queue.ts'
import type { HandOverLimits, ModelPace } from './hand-over.ts'
import { composeHandOver, expectedMs } from './hand-over.ts'
import type { StealQuestion } from './steal.ts'
import { maySteal } from './steal.ts'
import type { HandOver, NextWork, WorkQueues } from './work-queues.ts'

/** What the queues ask about models; each answer must be cheap and synchronous. */
export interface ModelView {
  pace(key: string): ModelPace
  /** May the worker be given work of this model now? A model that says no is passed over. */
  canRun(key: string, workerId: string): boolean
  /** What a steal by this worker would cost. */
  stealCost(key: string, workerId: string): Omit<StealQuestion, 'homeWaitMs'>
  /** The worker that must serve the model, because it must not be opened twice; undefined = by rendezvous. */
  fixedHome(key: string): string | undefined
}

export interface WorkerQueuesOptions extends FairQueueOptions {
  readonly limits: HandOverLimits
  readonly view: ModelView
}

interface WorkerQueue<T extends QueueItem> {
  readonly id: string
  readonly queue: FairQueue<T>
  readonly running: Set<HandOver<T>>
  busyUntil: number
}

/** Models of a busy worker's queue that an idle one looks at before it gives up. */
const STEAL_LOOKS = 16

export class WorkerQueues<T extends QueueItem> implements WorkQueues<T> {
  readonly opensAhead = true
  readonly #options: FairQueueOptions
  readonly #limits: HandOverLimits
  readonly #view: ModelView
  readonly #workers = new Map<string, WorkerQueue<T>>()
  #up: readonly WorkerQueue<T>[] = []
  /** Where each model with requests waits: all of them in one queue. */
  readonly #homes = new Map<string, FairQueue<T>>()
  /** Requests that came while no worker was up. */
  readonly #homeless: FairQueue<T>

  constructor(options: WorkerQueuesOptions) {
    this.#options = options
    this.#limits = options.limits
    this.#view = options.view
    this.#homeless = new FairQueue(options)
  }

  get depth(): number {
    return this.#sum((queue) => queue.depth)
  }

  get bytes(): number {
    return this.#sum((queue) => queue.bytes)
  }

  depthOf(key: string): number {
    return this.#homes.get(key)?.depthOf(key) ?? 0
  }

  depthAt(workerId: string): number {
    return this.#workers.get(workerId)?.queue.depth ?? 0
  }

  /** Requests of a model, first come first; the queues must not be changed meanwhile. */
  itemsOf(key: string): Iterable<T> {
    return this.#homes.get(key)?.itemsOf(key) ?? []
  }

  /** @returns the home whose queue the request waits in; undefined while no worker is up */
  enqueue(item: T): string | undefined {
    const queue = this.#homes.get(item.key) ?? this.#queueFor(item.key)
    queue.push(item)
    this.#homes.set(item.key, queue)
    return this.#up.find((worker) => worker.queue === queue)?.id
  }

  /** Takes a request out that waits. @returns false when it does not */
  remove(item: T): boolean {
    const queue = this.#homes.get(item.key)
    if (queue?.remove(item) !== true) return false
    this.#forgetIfEmpty(item.key, queue)
    return true
  }

  /** Where the model's requests are served if nothing speaks against it; undefined while no worker is up. */
  homeOf(key: string): string | undefined {
    if (this.#up.length === 0) return undefined
    const fixed = this.#view.fixedHome(key)
    if (fixed !== undefined && this.#workers.has(fixed)) return fixed
    return homeByRendezvous(key, this.#up, ({ id }) => id).id
  }

  /** Milliseconds until a request that came now would be done, were it served last. */
  expectedWaitMs(workerId: string, now: number): number {
    const worker = this.#workers.get(workerId)
    if (worker === undefined) return 0
    // What is overdue may be hanging: as long as it has been, as long it may still take.
    const busyMs = worker.running.size === 0 ? 0 : Math.abs(worker.busyUntil - now)
    return busyMs + worker.queue.expectedMs
  }

  /** Work for a worker that can take some: of its own queue, else from one where it would wait for longer than it takes here. */
  nextFor(workerId: string, now: number): NextWork<T> {
    const worker = this.#workers.get(workerId)
    const expired: T[] = []
    if (worker === undefined) return { expired }
    const canRun = (key: string) => this.#view.canRun(key, workerId)
    const handOver =
      this.#takeFrom(worker, worker, now, expired, () => worker.queue.next(now, canRun)) ??
      this.#steal(worker, now, expired)
    return handOver === undefined ? { expired } : { handOver, expired }
  }

  /** The hand-over ended, however: charges what it cost its worker, the open included. */
  settle(handOver: HandOver<T>, busyMs: number, now: number): void {
    const { workerId, homeId, tenant, key } = handOver
    this.#workers.get(homeId)?.queue.charge(tenant, key, busyMs - handOver.expectedMs)
    const worker = this.#workers.get(workerId)
    if (worker?.running.delete(handOver) !== true) return
    worker.busyUntil = now
    for (const other of worker.running) worker.busyUntil += other.expectedMs
  }

  /** The worker joins: models whose home it is move to its queue. */
  workerUp(workerId: string): void {
    if (this.#workers.has(workerId)) return
    const worker = {
      id: workerId,
      queue: new FairQueue<T>(this.#options),
      running: new Set<HandOver<T>>(),
      busyUntil: 0,
    }
    this.#workers.set(workerId, worker)
    this.#rehome()
  }

  /** The worker is gone: its models move to their next homes. What it was running is the caller's to settle or to enqueue again. */
  workerDown(workerId: string): void {
    if (this.#workers.delete(workerId)) this.#rehome()
  }

  #steal(thief: WorkerQueue<T>, now: number, expired: T[]): HandOver<T> | undefined {
    const homes = this.#up.filter((home) => home !== thief && home.queue.depth > 0)
    const waits = homes.map((home) => ({ home, waitMs: this.expectedWaitMs(home.id, now) }))
    waits.sort((a, b) => b.waitMs - a.waitMs)
    for (const { home } of waits) {
      const mayTake = (key: string) => this.#view.canRun(key, thief.id) && this.#maySteal(key, home, thief, now)
      const taken = this.#takeFrom(home, thief, now, expired, () => home.queue.next(now, mayTake, STEAL_LOOKS))
      if (taken !== undefined) return taken
    }
    return undefined
  }

  #maySteal(key: string, home: WorkerQueue<T>, thief: WorkerQueue<T>, now: number): boolean {
    const fixed = this.#view.fixedHome(key)
    if (fixed !== undefined && fixed !== thief.id) return false
    // The home's next hand-over of this model is no wait: it would start as soon as it does here.
    const { singleMs } = this.#view.pace(key)
    const homeWaitMs = this.expectedWaitMs(home.id, now) - singleMs
    return maySteal({ ...this.#view.stealCost(key, thief.id), homeWaitMs })
  }

  #takeFrom(
    home: WorkerQueue<T>,
    worker: WorkerQueue<T>,
    now: number,
    expired: T[],
    next: () => Turn | undefined,
  ): HandOver<T> | undefined {
    for (let turn = next(); turn !== undefined; turn = next()) {
      const { tenant, key } = turn
      const { queue } = home
      const pace = this.#view.pace(key)
      const late: T[] = []
      const count = composeHandOver(inTime(queue.itemsOf(key), now, late), pace, this.#limits)
      for (const item of late) queue.remove(item)
      expired.push(...late)
      const items = queue.take(key, count, now)
      this.#forgetIfEmpty(key, queue)
      if (items.length === 0) continue
      const workMs = expectedMs(items.length, pace)
      const handOver = { workerId: worker.id, homeId: home.id, tenant, key, items, expectedMs: workMs }
      queue.charge(tenant, key, workMs)
      worker.running.add(handOver)
      worker.busyUntil = Math.max(worker.busyUntil, now) + workMs
      return handOver
    }
    return undefined
  }

  #rehome(): void {
    this.#up = [...this.#workers.values()]
    const moved: T[] = []
    for (const [key, queue] of this.#homes) {
      const home = this.#queueFor(key)
      if (home !== queue) moved.push(...queue.takeAll(key))
    }
    for (const item of moved) this.#homes.delete(item.key)
    for (const item of moved) this.enqueue(item)
  }

  #queueFor(key: string): FairQueue<T> {
    const home = this.homeOf(key)
    return (home === undefined ? undefined : this.#workers.get(home)?.queue) ?? this.#homeless
  }

  #forgetIfEmpty(key: string, queue: FairQueue<T>): void {
    if (queue.depthOf(key) === 0) this.#homes.delete(key)
  }

  #sum(measure: (queue: FairQueue<T>) => number): number {
    let sum = measure(this.#homeless)
    for (const { queue } of this.#up) sum += measure(queue)
    return sum
  }
}

/** Passes on what may still be answered, sorts out into `late` what may not, as far as it is read. */
function* inTime<T extends QueueItem>(items: Iterable<T>, now: number, late: T[]): Iterable<T> {
  for (const item of items) {
    if (item.deadlineAt <= now) late.push(item)
    else yield item
  }
}
