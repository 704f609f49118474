/**
 * The parent's hand on one worker process: typed calls to whichever process it has now. Its id outlives the process; what
 * was open in the process does not.
 */
import { slotOf } from '../domain/worker-slot.ts'
import type { Clock } from '../lib/clock.ts'
import { COMMAND } from './commands.ts'
import { decodeReply, encodeHandOver } from './hand-over-wire.ts'
import type { Batching, HandOverReport, OpenReport, OpenSpec, WorkerRequest } from './messages.ts'
import type { AtStart, KillReason, WorkerExit, WorkerProcess } from './worker-process.ts'
import { WorkerGoneError } from './worker-process.ts'

const NEVER_STARTED: WorkerExit = { code: null, signal: null, reason: 'crash' }

export class Worker {
  readonly id: string
  readonly #clock: Clock
  #process: WorkerProcess | undefined
  #exited = Promise.resolve(NEVER_STARTED)
  #lastExit = NEVER_STARTED

  constructor(id: string, clock: Clock) {
    this.id = id
    this.#clock = clock
  }

  /** The place it serves, or is to serve; the same for its successors. */
  get slot(): string {
    return slotOf(this.id)
  }

  /** Does the process take calls? */
  get isUp(): boolean {
    return this.#process?.isUp === true
  }

  /** Is the process at something? */
  get isBusy(): boolean {
    return this.#process?.isBusy === true
  }

  /** 0 when there is no process. */
  get pid(): number {
    return this.#process?.pid ?? 0
  }

  /** What its process took when it had done nothing yet; nothing when there is none. */
  get atStart(): AtStart {
    return this.#process?.atStart ?? { privateBytes: 0, mappings: 0 }
  }

  /** Resolves when its process is gone, at once when there is none; never rejects. */
  get exited(): Promise<WorkerExit> {
    return this.#exited
  }

  /** The trust domain that its process is bound to; undefined while it is bound to none. */
  get domain(): string | undefined {
    return this.#process?.domain
  }

  /** How its last process ended. */
  get lastExit(): WorkerExit {
    return this.#lastExit
  }

  /**
   * Opens a model. Runs and a close may be sent right behind it, without waiting: the process does everything in order. If it fails,
   * runs of this placement fail with the same error until it is closed or opened again.
   * @throws GatewayError MODEL_LOAD_FAILED; WorkerGoneError
   */
  async open(spec: OpenSpec): Promise<OpenReport> {
    // The last line of defence: whoever scheduled it, a process never holds models of two trust domains.
    if (this.#process?.bind(spec.domain) === false)
      throw new WorkerGoneError(`worker ${this.id} serves another trust domain`, this.#lastExit)
    return JSON.parse((await this.#call(COMMAND.open, [json(spec)])).toString()) as OpenReport
  }

  /** Resolves when the memory is given back. Closing what is not open does nothing. @throws WorkerGoneError */
  async close(placementId: number): Promise<void> {
    await this.#call(COMMAND.close, [json({ placementId })])
  }

  /**
   * Hands requests of one model over, to be run in as few runs as the model allows. An answer in the report is an error where its own
   * request is to blame; the call rejects when no request was run. @throws GatewayError; WorkerGoneError
   */
  async run(placementId: number, requests: readonly WorkerRequest[]): Promise<HandOverReport> {
    return decodeReply(await this.#call(COMMAND.run, encodeHandOver(placementId, requests)))
  }

  /** From the next hand-over on. Says nothing when the process is gone, for then the placement is too. */
  setBatching(placementId: number, { isBatchSafe, maxRows }: Batching): void {
    this.#call(COMMAND.setBatching, [json({ placementId, isBatchSafe, maxRows })]).catch(() => undefined)
  }

  /** From now on the process runs when nobody else wants the processor. */
  runLast(): void {
    this.#process?.runLast()
  }

  /** Ends the process at once, whatever it does; the pool starts another. Nothing happens when there is none. */
  kill(reason: KillReason, privateBytes?: number): void {
    this.#process?.kill(reason, privateBytes)
  }

  /** The worker's process from here on, until it ends. For the pool, which does so only when there is none. */
  attach(process: WorkerProcess): Promise<WorkerExit> {
    this.#process = process
    this.#exited = process.exited.then((exit) => {
      this.#lastExit = exit
      this.#process = undefined
      return exit
    })
    return this.#exited
  }

  /** Waits for the calls under way, lets the process end, and kills it after `graceMs`. */
  async end(reason: KillReason, graceMs: number): Promise<void> {
    const process = this.#process
    if (process === undefined) return
    const timer = this.#clock.after(graceMs, () => process.kill(reason))
    await process.end(reason)
    timer.cancel()
  }

  #call(kind: number, payload: readonly Uint8Array[]): Promise<Buffer> {
    if (this.#process === undefined || !this.isUp)
      return Promise.reject(new WorkerGoneError(`worker ${this.id} is not up`, this.#lastExit))
    return this.#process.call(kind, payload)
  }
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}
