/**
 * A fixed number of worker slots, each with a process. Owns the processes' lives: starts them, starts another with back-off when one
 * dies, puts a successor in the place of one that is to go, ends them. Knows nothing of what is open where.
 */
import { ChildGoneError } from '../child/calls.ts'
import type { Spawn } from '../child/orphan-guard.ts'
import { spawnChild } from '../child/spawn.ts'
import type { Device } from '../domain/device.ts'
import { slotOf, successorIdOf } from '../domain/worker-slot.ts'
import type { BackoffOptions } from '../lib/backoff.ts'
import { backoffMs } from '../lib/backoff.ts'
import type { Clock } from '../lib/clock.ts'
import { pause } from '../lib/clock.ts'
import { SpareProcess } from './spare-process.ts'
import { Worker } from './worker.ts'
import type { WorkerExit } from './worker-process.ts'
import { WorkerProcess } from './worker-process.ts'

export interface WorkerPoolOptions {
  readonly count: number
  /** What sessions run on; `cpu` unless said otherwise. */
  readonly device?: Device
  /** Of one answer; absent = no limit. */
  readonly maxAnswerBytes?: number
  readonly clock: Clock
  /**
   * Pauses between starts that fail. One that came up has the shortest pause before its successor, and none where a process is in
   * reserve: it died of what it was given, which whoever gives it has to stop, and the others must not pay for.
   */
  readonly respawn: BackoffOptions
  /** In [0, 1). */
  readonly random?: () => number
  /** A line that a worker wrote to stdout or stderr. */
  readonly onLine: (workerId: string, line: string) => void
  /** The worker takes calls; nothing is open in it. Called again, with the same worker, after each respawn. Not for a successor. */
  readonly onUp: (worker: Worker) => void
  /** The worker's process ended, and everything open in it with it. Not called for workers that `close` ends. */
  readonly onDown: (worker: Worker, exit: WorkerExit) => void
  /** A process did not come up: its device is missing, or it died. It is tried again. */
  readonly onUnfit?: (worker: Worker, error: unknown) => void
  /** Keeps one process ready for whoever needs a fresh one at once. */
  readonly keepsSpare?: boolean
  /** Pause before the next one is made when it was taken; 0 unless said otherwise. */
  readonly spareRestMs?: number
  /** How processes are made. */
  readonly spawn?: Spawn
  /** Entry file of the process; the worker's own unless a test says otherwise. */
  readonly entry?: URL
}

const ENTRY = new URL('./worker-main.ts', import.meta.url)

export class WorkerPool {
  readonly #options: WorkerPoolOptions
  readonly #random: () => number
  readonly #closing = new AbortController()
  readonly #spare: SpareProcess | undefined
  /** By slot. */
  readonly #workers = new Map<string, Worker>()
  /** Those that serve no slot yet, or none any more. */
  readonly #aside = new Set<Worker>()
  readonly #lives = new Set<Promise<void>>()

  constructor(options: WorkerPoolOptions) {
    this.#options = options
    this.#random = options.random ?? Math.random
    const { count, clock, keepsSpare = false, spareRestMs = 0 } = options
    for (let i = 0; i < count; i++) this.#workers.set(`worker-${i}`, new Worker(`worker-${i}`, clock))
    if (keepsSpare) {
      this.#spare = new SpareProcess({
        clock,
        restMs: spareRestMs,
        make: () => this.#make('spare'),
        retryMs: (attempt) => backoffMs(attempt, options.respawn, this.#random),
      })
    }
  }

  /** The one of each slot. */
  get workers(): readonly Worker[] {
    return [...this.#workers.values()]
  }

  /** Is a process ready for whoever needs a fresh one? */
  get hasReserve(): boolean {
    return this.#spare?.isReady === true
  }

  /** Every worker that may have a process, successors and predecessors too. */
  get everyWorker(): readonly Worker[] {
    return [...this.#workers.values(), ...this.#aside]
  }

  /**
   * Resolves when every worker is up. Once. @throws ChildGoneError when a worker's first process does not come up, GatewayError
   * DEVICE_UNAVAILABLE when its device is missing; close the pool then
   */
  async start(): Promise<void> {
    const firsts = this.workers.map((worker) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      this.#live(this.#keepAlive(worker, resolve, reject))
      return promise
    })
    await Promise.all(firsts)
    this.#spare?.start()
  }

  /**
   * Starts a process that is to take a slot over, beside the one that has it; resolves when it takes calls. `promote` it then, or
   * `retire` it. One at a time for a slot. @throws ChildGoneError, or what a process could not be made for
   */
  async succeed(slot: string): Promise<Worker> {
    const worker = new Worker(successorIdOf(this.#ofSlot(slot).id), this.#options.clock)
    if (this.everyWorker.some(({ id }) => id === worker.id)) throw new Error(`${worker.id} is there already`)
    if (this.#closing.signal.aborted) throw new ChildGoneError('the pool was closed')
    const process = this.#take(worker)
    this.#aside.add(worker)
    this.#live(worker.attach(process).then(() => void this.#aside.delete(worker)))
    await process.ready
    return worker
  }

  /**
   * Gives a successor its slot: from here on it is the one that is started again when it dies.
   * @returns the predecessor, to `retire` when it has ended what it was given. @throws ChildGoneError when the successor died meanwhile
   */
  promote(successor: Worker): Worker {
    const { slot } = successor
    const predecessor = this.#ofSlot(slot)
    if (!successor.isUp || !this.#aside.delete(successor)) throw new ChildGoneError(`${successor.id} went away`)
    this.#workers.set(slot, successor)
    this.#aside.add(predecessor)
    this.#live(this.#keepAlive(successor))
    return predecessor
  }

  /** Ends a worker that serves no slot. Resolves when its process is gone. */
  async retire(worker: Worker, graceMs: number): Promise<void> {
    await worker.end('recycle', graceMs)
    this.#aside.delete(worker)
  }

  /** Lets calls under way finish, ends every worker, and kills what is left after `graceMs`. Idempotent; new calls are refused. */
  async close(graceMs: number): Promise<void> {
    this.#closing.abort()
    await Promise.all([this.#spare?.close(), ...this.everyWorker.map((worker) => worker.end('stop', graceMs))])
    await Promise.all(this.#lives)
  }

  /** One process after the other until the pool closes or the slot is another's. `onFirst` or `onFailure` hears how the first came up. */
  async #keepAlive(worker: Worker, onFirst = () => {}, onFailure: (error: unknown) => void = () => {}): Promise<void> {
    const { clock, respawn, onDown } = this.#options
    const { signal } = this.#closing
    let attempt = 0
    while (this.#serves(worker)) {
      const life = await this.#oneLife(worker, onFirst, onFailure)
      if (signal.aborted) break
      if (life.wasUp) onDown(worker, life.exit)
      if (!this.#serves(worker)) break
      // What was ordered is no sign of trouble: the next process is wanted at once. One that did not come up is.
      const isAtOnce = life.wasUp && (life.exit.reason === 'rebind' || this.hasReserve)
      attempt = isAtOnce ? 0 : life.wasUp ? 1 : attempt + 1
      if (isAtOnce) continue
      await pause(clock, backoffMs(attempt, respawn, this.#random), signal).catch(() => undefined)
    }
    this.#aside.delete(worker)
    onFailure(new ChildGoneError('the pool was closed'))
  }

  async #oneLife(
    worker: Worker,
    onFirst: () => void,
    onFailure: (error: unknown) => void,
  ): Promise<{ wasUp: boolean; exit: WorkerExit }> {
    // A successor that was promoted is up and known already.
    if (worker.pid !== 0) return { wasUp: true, exit: await worker.exited }
    let process: WorkerProcess
    try {
      process = this.#take(worker)
    } catch (error) {
      // No process could be made: out of memory, process ids or descriptors. Treated as one that died at once.
      onFailure(new ChildGoneError(`worker ${worker.id} could not be started`, { cause: error }))
      this.#options.onUnfit?.(worker, error)
      return { wasUp: false, exit: worker.lastExit }
    }
    const exited = worker.attach(process)
    const wasUp = await process.ready.then(
      () => this.#announce(worker, onFirst),
      (error: unknown) => {
        onFailure(error)
        if (!this.#closing.signal.aborted) this.#options.onUnfit?.(worker, error)
        return false
      },
    )
    return { wasUp, exit: await exited }
  }

  #announce(worker: Worker, onFirst: () => void): boolean {
    // The slot may have become a successor's while this one started.
    if (!this.#serves(worker)) return false
    this.#options.onUp(worker)
    onFirst()
    return true
  }

  #serves(worker: Worker): boolean {
    return !this.#closing.signal.aborted && this.#workers.get(worker.slot) === worker
  }

  #ofSlot(slot: string): Worker {
    const worker = this.#workers.get(slotOf(slot))
    if (worker === undefined) throw new Error(`there is no slot ${slot}`)
    return worker
  }

  /** The spare process if it is ready, else a new one. */
  #take({ id }: Worker): WorkerProcess {
    const process = this.#spare?.take() ?? this.#make(id)
    process.onLine = (line) => this.#options.onLine(id, line)
    return process
  }

  #make(id: string): WorkerProcess {
    const { entry = ENTRY, spawn = spawnChild, device = 'cpu', maxAnswerBytes, onLine } = this.#options
    return new WorkerProcess({ entry, spawn, device, maxAnswerBytes, onLine: (line) => onLine(id, line) })
  }

  /** `close` waits for it. */
  #live(life: Promise<void>): void {
    const ended = life.finally(() => this.#lives.delete(ended))
    this.#lives.add(ended)
  }
}
