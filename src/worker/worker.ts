/**
 * The parent's hand on one worker process: typed calls, and the process's life from launch to exit. Its id outlives the process; what
 * was open in the process does not.
 */
import { stripVTControlCharacters } from 'node:util'
import { ChildCalls, ChildGoneError } from '../child/calls.ts'
import type { Child, ExitInfo } from '../child/spawn.ts'
import { spawnChild } from '../child/spawn.ts'
import type { Clock } from '../lib/clock.ts'
import { COMMAND } from './commands.ts'
import { decodeReply, encodeHandOver } from './hand-over-wire.ts'
import type { Batching, HandOverReport, OpenReport, OpenSpec, WorkerRequest } from './messages.ts'

export interface WorkerOptions {
  readonly id: string
  readonly clock: Clock
  /** A line that the process wrote to stdout or stderr, without colours. */
  readonly onLine: (line: string) => void
}

/** One process of a worker. */
export interface Launch {
  /** Resolves once calls are taken. @throws ChildGoneError if the process ends first */
  readonly ready: Promise<void>
  /** Resolves when the process is gone; never rejects. */
  readonly exited: Promise<ExitInfo>
}

export class Worker {
  readonly id: string
  readonly #options: WorkerOptions
  #process: { readonly child: Child; readonly calls: ChildCalls } | undefined
  #isUp = false
  #isShutDown = false

  constructor(options: WorkerOptions) {
    this.id = options.id
    this.#options = options
  }

  /** Does the process take calls? */
  get isUp(): boolean {
    // The channel closes before the exit is known; what is sent in between would only be lost.
    return this.#isUp && this.#process?.calls.isClosed === false
  }

  /** 0 when there is no process. */
  get pid(): number {
    return this.#process?.child.pid ?? 0
  }

  /**
   * Opens a model. Runs and a close may be sent right behind it, without waiting: the process does everything in order. If it fails,
   * runs of this placement fail with the same error until it is closed or opened again.
   * @throws GatewayError MODEL_LOAD_FAILED; ChildGoneError
   */
  async open(spec: OpenSpec): Promise<OpenReport> {
    return JSON.parse((await this.#call(COMMAND.open, [json(spec)])).toString()) as OpenReport
  }

  /** Resolves when the memory is given back. Closing what is not open does nothing. @throws ChildGoneError */
  async close(placementId: number): Promise<void> {
    await this.#call(COMMAND.close, [json({ placementId })])
  }

  /**
   * Hands requests of one model over, to be run in as few runs as the model allows. An answer in the report is an error where its own
   * request is to blame; the call rejects when no request was run. @throws GatewayError; ChildGoneError
   */
  async run(placementId: number, requests: readonly WorkerRequest[]): Promise<HandOverReport> {
    return decodeReply(await this.#call(COMMAND.run, encodeHandOver(placementId, requests)))
  }

  /** From the next hand-over on. Says nothing when the process is gone, for then the placement is too. */
  setBatching(placementId: number, { isBatchSafe, maxRows }: Batching): void {
    this.#call(COMMAND.setBatching, [json({ placementId, isBatchSafe, maxRows })]).catch(() => undefined)
  }

  /** Ends the process at once, whatever it does; the pool starts another. Nothing happens when there is none. */
  kill(): void {
    this.#process?.child.kill()
  }

  /** Starts a process. For the pool, which does so only when there is none. */
  launch(entry: URL): Launch {
    const child = spawnChild({ entry, onLine: (_stream, line) => this.#options.onLine(stripVTControlCharacters(line)) })
    const calls = new ChildCalls(child.channel)
    this.#process = { child, calls }
    // A process that closed its channel can do nothing any more, even if it lives on.
    child.channel.once('close', () => {
      if (!this.#isShutDown) child.kill()
    })
    const exited = child.exited.then((exit) => {
      this.#isUp = false
      this.#process = undefined
      return exit
    })
    return { ready: this.#greet(calls), exited }
  }

  /** Waits for the calls under way, lets the process end, and kills it after `graceMs`. For the pool; final. */
  async shutDown(graceMs: number): Promise<void> {
    this.#isShutDown = true
    this.#isUp = false
    if (this.#process === undefined) return
    const { child, calls } = this.#process
    const timer = this.#options.clock.after(graceMs, () => child.kill())
    await calls.drained()
    calls.end()
    await child.exited
    timer.cancel()
  }

  async #greet(calls: ChildCalls): Promise<void> {
    await calls.call(COMMAND.hello, [])
    this.#isUp = !this.#isShutDown
  }

  #call(kind: number, payload: readonly Uint8Array[]): Promise<Buffer> {
    if (this.#process === undefined || !this.isUp)
      return Promise.reject(new ChildGoneError(`worker ${this.id} is not up`))
    return this.#process.calls.call(kind, payload)
  }
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}
