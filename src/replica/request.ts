/**
 * One inference on its way through the replica: from admission, over the wait for its model and its turn, to exactly one
 * outcome. It ends when it is answered, fails, passes its deadline, or its client leaves, whichever comes first; what comes
 * later is thrown away. A lease it holds is given back by whoever works on it, never by the client's leaving.
 */
import type { Lease } from '../cache/lease.ts'
import { GatewayError } from '../domain/errors.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { CacheOutcome, PhaseTimings } from '../domain/phases.ts'
import type { Clock, Timer } from '../lib/clock.ts'

/** What the worker made of it. */
export interface Outcome {
  readonly body: Buffer
  readonly jsonBytes?: number
  readonly batchRows: number
}

export interface RequestBody {
  readonly body: readonly Buffer[]
  readonly bodyBytes: number
  readonly jsonBytes?: number
}

export class ReplicaRequest {
  readonly version: ModelVersion
  readonly key: string
  readonly tenant: string
  readonly content: RequestBody
  readonly arrivedAt: number
  readonly deadlineAt: number
  /** When it began to wait for its turn, and what it is expected to cost; set by the dispatcher. */
  enqueuedAt = 0
  expectedMs = 0
  /** Its right to the ready entry; the dispatcher's from the queue to the end of the hand-over. */
  lease: Lease | undefined
  /** Called when nobody works on it any more, which may be long after its client has left. */
  onReleased: (() => void) | undefined
  /** How often a worker died before it began to run this request. */
  replays = 0
  /** How often its model was found damaged while it waited. */
  damages = 0
  cache: CacheOutcome = 'hit'
  readonly timings: PhaseTimings = {}
  /** What it waits for, for the message of a passed deadline. */
  waitsFor = 'admission'
  readonly outcome: Promise<Outcome>
  #resolve!: (outcome: Outcome) => void
  #reject!: (error: GatewayError) => void
  #isSettled = false
  #onSettled: ((request: ReplicaRequest) => void) | undefined
  #ending: AbortController | undefined
  readonly #timer: Timer
  readonly #signal: AbortSignal
  readonly #onAbort = () =>
    this.fail(new GatewayError('CLIENT_GONE', 'the client left before the answer', this.#names()))

  constructor(version: ModelVersion, content: RequestBody, timeoutMs: number, signal: AbortSignal, clock: Clock) {
    this.version = version
    this.key = version.key
    this.tenant = version.tenant
    this.content = content
    this.arrivedAt = clock.now()
    this.deadlineAt = this.arrivedAt + timeoutMs
    this.outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // Its failure is always awaited by the caller, but maybe not yet when it happens.
    this.outcome.catch(() => {})
    this.#timer = clock.after(timeoutMs, () => this.expire())
    this.#signal = signal
    signal.addEventListener('abort', this.#onAbort, { once: true })
    if (signal.aborted) this.#onAbort()
  }

  get bytes(): number {
    return this.content.bodyBytes
  }

  get isSettled(): boolean {
    return this.#isSettled
  }

  /** Aborts when the request ends: for those who wait on its behalf. */
  get ended(): AbortSignal {
    this.#ending ??= new AbortController()
    if (this.#isSettled) this.#ending.abort()
    return this.#ending.signal
  }

  /** Called once when the request ends, however it ends; one listener at a time. */
  onSettled(listener: (request: ReplicaRequest) => void): void {
    this.#onSettled = listener
  }

  /** Its deadline passed, whether or not its own timer has noticed yet. */
  expire(): void {
    this.fail(this.#deadlinePassed())
  }

  succeed(outcome: Outcome): void {
    if (this.#settle()) this.#resolve(outcome)
  }

  fail(error: GatewayError): void {
    if (this.#settle()) this.#reject(error)
  }

  #settle(): boolean {
    if (this.#isSettled) return false
    this.#isSettled = true
    this.#timer.cancel()
    this.#signal.removeEventListener('abort', this.#onAbort)
    const listener = this.#onSettled
    this.#onSettled = undefined
    listener?.(this)
    this.#ending?.abort()
    return true
  }

  #names(): { model: string; version: string } {
    return { model: this.version.name, version: this.version.version }
  }

  #deadlinePassed(): GatewayError {
    const timeoutMs = this.deadlineAt - this.arrivedAt
    const spent = Object.entries(this.timings).map(([phase, ms]) => `${phase} ${Math.round(ms)} ms`)
    return new GatewayError(
      'DEADLINE_EXCEEDED',
      `the deadline of ${Math.round(timeoutMs)} ms passed while waiting for ${this.waitsFor}${spent.length > 0 ? `, after ${spent.join(', ')}` : ''}; send x-modelmux-timeout-ms to wait longer`,
      this.#names(),
    )
  }
}
