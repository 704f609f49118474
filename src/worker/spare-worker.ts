/**
 * A worker beside the pool, for work that may kill it: started when it is asked for, ended when it has rested for a while. Each of its
 * processes is a worker of its own name, so that nobody takes one for its successor.
 */
import type { Spawn } from '../child/orphan-guard.ts'
import { spawnChild } from '../child/spawn.ts'
import type { Device } from '../domain/device.ts'
import type { Clock, Timer } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import { Worker } from './worker.ts'
import type { WorkerExit } from './worker-process.ts'
import { WorkerProcess } from './worker-process.ts'

export interface SpareWorkerOptions {
  readonly clock: Clock
  /** It ends after resting so long. */
  readonly idleMs: number
  /** Time it has to end by itself. */
  readonly graceMs: number
  readonly onLine: (workerId: string, line: string) => void
  readonly onUp: (worker: Worker) => void
  /** Also when it was ended because nobody wanted it. */
  readonly onDown: (worker: Worker, exit: WorkerExit) => void
  /** As the pool's. */
  readonly device?: Device
  readonly maxAnswerBytes?: number
  /** How processes are made. */
  readonly spawn?: Spawn
  /** Entry file of the process; the worker's own unless a test says otherwise. */
  readonly entry?: URL
}

export interface SpareLife {
  readonly worker: Worker
  readonly exited: Promise<WorkerExit>
}

const ENTRY = new URL('./worker-main.ts', import.meta.url)

export class SpareWorker {
  readonly #options: SpareWorkerOptions
  #life: Promise<SpareLife> | undefined
  /** Those that may have a process. */
  readonly #workers = new Set<Worker>()
  #resting: Timer | undefined
  #serial = 0
  #isClosed = false

  constructor(options: SpareWorkerOptions) {
    this.#options = options
  }

  /** Processes there are: one as a rule, or none. */
  get workers(): readonly Worker[] {
    return [...this.#workers]
  }

  /** The process that is up, or a new one. @throws ChildGoneError when none comes up; Error when none can be made */
  start(): Promise<SpareLife> {
    this.#resting?.cancel()
    this.#resting = undefined
    if (this.#isClosed) return Promise.reject(new Error('the server is shutting down'))
    if (this.#life !== undefined) return this.#life
    const life = this.#begin()
    this.#life = life
    detach(this.#watch(life))
    return life
  }

  /** Nothing is to be done for now. */
  rest(): void {
    const { clock, idleMs, graceMs } = this.#options
    if (this.#life === undefined || this.#isClosed) return
    this.#resting?.cancel()
    this.#resting = clock.after(idleMs, () => detach(this.#end(graceMs)))
  }

  /** Idempotent. */
  async close(graceMs: number): Promise<void> {
    this.#isClosed = true
    this.#resting?.cancel()
    this.#life = undefined
    // One that is still on its way up, too.
    await Promise.all(this.workers.map((worker) => worker.end('stop', graceMs)))
  }

  async #begin(): Promise<SpareLife> {
    const { clock, onLine, onUp, entry = ENTRY, spawn = spawnChild, device = 'cpu', maxAnswerBytes } = this.#options
    const id = `spare-${++this.#serial}`
    const worker = new Worker(id, clock)
    const process = new WorkerProcess({ entry, spawn, device, maxAnswerBytes, onLine: (line) => onLine(id, line) })
    const exited = worker.attach(process)
    this.#workers.add(worker)
    detach(exited.then(() => this.#workers.delete(worker)))
    await process.ready
    onUp(worker)
    return { worker, exited }
  }

  /** The process is gone: whoever asks next gets another. */
  async #watch(life: Promise<SpareLife>): Promise<void> {
    try {
      const { worker, exited } = await life
      const exit = await exited
      this.#options.onDown(worker, exit)
    } catch {
      // None came up; whoever asked knows.
    } finally {
      if (this.#life === life) this.#life = undefined
    }
  }

  async #end(graceMs: number): Promise<void> {
    const life = this.#life
    this.#life = undefined
    const up = await life?.catch(() => undefined)
    await up?.worker.end('stop', graceMs)
  }
}
