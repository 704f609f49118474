/** One process that is ready before it is needed, so that whoever takes it does not wait for its start (60-100 ms). */
import type { Clock, Timer } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import type { WorkerProcess } from './worker-process.ts'

export interface SpareOptions {
  readonly clock: Clock
  /** @throws Error when no process can be made at all */
  readonly make: () => WorkerProcess
  /** Pause before another is made when one was taken. */
  readonly restMs: number
  /** Pause before the next try when one does not come up or dies; `attempt` counts from 1. */
  readonly retryMs: (attempt: number) => number
}

export class SpareProcess {
  readonly #options: SpareOptions
  #process: WorkerProcess | undefined
  #retry: Timer | undefined
  #attempt = 0
  #isClosed = false

  constructor(options: SpareOptions) {
    this.#options = options
  }

  /** Makes the first one. */
  start(): void {
    if (this.#isClosed) return
    try {
      const process = this.#options.make()
      this.#process = process
      detach(this.#watch(process))
    } catch {
      this.#startLater()
    }
  }

  get isReady(): boolean {
    return this.#process?.isUp === true
  }

  /** Hands the process over if it is ready, and makes another in a while. */
  take(): WorkerProcess | undefined {
    const process = this.#process
    if (process?.isUp !== true) return undefined
    this.#process = undefined
    const { clock, restMs } = this.#options
    if (restMs === 0) this.start()
    else this.#retry = clock.after(restMs, () => this.start())
    return process
  }

  /** Ends the process; the one that was taken is its owner's. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#retry?.cancel()
    this.#process?.kill('stop')
    await this.#process?.exited
  }

  async #watch(process: WorkerProcess): Promise<void> {
    await process.ready.then(
      () => (this.#attempt = 0),
      () => {},
    )
    await process.exited
    if (this.#process !== process) return
    this.#process = undefined
    this.#startLater()
  }

  #startLater(): void {
    if (this.#isClosed) return
    this.#attempt++
    this.#retry = this.#options.clock.after(this.#options.retryMs(this.#attempt), () => this.start())
  }
}
