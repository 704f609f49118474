/**
 * A fixed number of worker processes. Owns their lives: starts them, starts another with back-off when one dies, ends them. Knows
 * nothing of what is open where.
 */
import { ChildGoneError } from '../child/calls.ts'
import type { ExitInfo } from '../child/spawn.ts'
import type { BackoffOptions } from '../lib/backoff.ts'
import { backoffMs } from '../lib/backoff.ts'
import type { Clock } from '../lib/clock.ts'
import { pause } from '../lib/clock.ts'
import type { Launch } from './worker.ts'
import { Worker } from './worker.ts'

export interface WorkerPoolOptions {
  readonly count: number
  readonly clock: Clock
  /** Delays before a dead worker's successor starts. One that lived longer than `stableMs` begins again with the shortest. */
  readonly respawn: BackoffOptions & { readonly stableMs: number }
  /** In [0, 1). */
  readonly random?: () => number
  /** A line that a worker wrote to stdout or stderr. */
  readonly onLine: (workerId: string, line: string) => void
  /** The worker takes calls; nothing is open in it. Called again, with the same worker, after each respawn. */
  readonly onUp: (worker: Worker) => void
  /** The worker's process died, and everything open in it with it. Not called for workers that `close` ends. */
  readonly onDown: (worker: Worker, exit: ExitInfo) => void
  /** Entry file of the process; the worker's own unless a test says otherwise. */
  readonly entry?: URL
}

const ENTRY = new URL('./worker-main.ts', import.meta.url)
const NEVER_STARTED: ExitInfo = { code: null, signal: null }

export class WorkerPool {
  readonly workers: readonly Worker[]
  readonly #options: WorkerPoolOptions
  readonly #random: () => number
  readonly #closing = new AbortController()
  #lives: Promise<void>[] = []

  constructor(options: WorkerPoolOptions) {
    this.#options = options
    this.#random = options.random ?? Math.random
    const { count, clock, onLine } = options
    this.workers = Array.from({ length: count }, (_, i) => {
      const id = `worker-${i}`
      return new Worker({ id, clock, onLine: (line) => onLine(id, line) })
    })
  }

  /** Resolves when every worker is up. Once. @throws ChildGoneError when a worker's first process does not come up; close the pool then */
  async start(): Promise<void> {
    const firsts = this.workers.map((worker) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      this.#lives.push(this.#keepAlive(worker, resolve, reject))
      return promise
    })
    await Promise.all(firsts)
  }

  /** Lets calls under way finish, ends every worker, and kills what is left after `graceMs`. Idempotent; new calls are refused. */
  async close(graceMs: number): Promise<void> {
    this.#closing.abort()
    await Promise.all(this.workers.map((worker) => worker.shutDown(graceMs)))
    await Promise.all(this.#lives)
  }

  /** One process after the other until the pool closes. `onFirst` or `onFailure` hears how the first one came up. */
  async #keepAlive(worker: Worker, onFirst: () => void, onFailure: (error: unknown) => void): Promise<void> {
    const { clock, respawn, onDown } = this.#options
    const { signal } = this.#closing
    let attempt = 0
    while (!signal.aborted) {
      const startedAt = clock.now()
      const launch = this.#launch(worker)
      const wasUp = await launch.ready.then(
        () => this.#announce(worker, onFirst),
        (error: unknown) => {
          onFailure(error)
          return false
        },
      )
      const exit = await launch.exited
      if (signal.aborted) break
      if (wasUp) onDown(worker, exit)
      attempt = clock.now() - startedAt > respawn.stableMs ? 1 : attempt + 1
      await pause(clock, backoffMs(attempt, respawn, this.#random), signal).catch(() => undefined)
    }
    onFailure(new ChildGoneError('the pool was closed'))
  }

  #announce(worker: Worker, onFirst: () => void): boolean {
    if (this.#closing.signal.aborted) return false
    this.#options.onUp(worker)
    onFirst()
    return true
  }

  #launch(worker: Worker): Launch {
    try {
      return worker.launch(this.#options.entry ?? ENTRY)
    } catch (error) {
      // No process could be made: out of memory or of process ids. Treated as one that died at once.
      const ready = Promise.reject(new ChildGoneError(`worker ${worker.id} could not be started`, { cause: error }))
      return { ready, exited: Promise.resolve(NEVER_STARTED) }
    }
  }
}
