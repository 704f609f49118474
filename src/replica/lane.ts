/**
 * One life of a worker's process: what it was given, and every command it was sent, in order. A process does its commands one after
 * the other, so the oldest without an answer is what it is at, what it hangs on, and what it dies of. A hand-over whose session is
 * still being made room for was given but not sent; others may be sent before it.
 */

import { ChildGoneError } from '../child/calls.ts'
import type { Clock } from '../lib/clock.ts'
import type { HandOver } from '../scheduler/work-queues.ts'
import type { Batching, HandOverReport, OpenReport, OpenSpec, WorkerRequest } from '../worker/messages.ts'
import type { KillReason } from '../worker/worker-process.ts'
import { WorkerDied } from './death.ts'
import type { GivenWorker } from './last-worker.ts'
import type { ReplicaRequest } from './request.ts'
import type { SessionWorker } from './session-worker.ts'

type Given = HandOver<ReplicaRequest>

interface Command {
  readonly kind: 'open' | 'run' | 'close'
  /** Of a run; 0 for what takes no time to speak of, or nobody has measured. */
  readonly expectedMs: number
  /** Of which model, as far as the sender said. */
  readonly key: string
  /** Of a hand-over. */
  readonly tenant?: string
}

/** What a process has been at for too long. */
export interface Hanging {
  readonly kind: Command['kind']
  readonly key: string
}

/** Hand-overs that one worker may have at a time; the time bound is the tighter one as a rule. */
const MAX_AHEAD = 8
/**
 * What takes so many times as long as expected, and this much longer, may take for ever: nothing more is sent behind it, and later what
 * was is taken back, as another worker would have answered it by now. The slack is what the ways there and back take at worst.
 */
const TIMES_EXPECTED = 2
const OVERDUE_MS = 20
const STUCK_MS = 500
/** Of them, those for which room is still being made: a process need not stand idle meanwhile. */
const MAX_UNSENT = 5

/** The run was never begun, and its process lives: another worker is to have it. */
export class TakenBackError extends Error {}

export class Lane implements SessionWorker, GivenWorker {
  readonly #worker: SessionWorker
  readonly #clock: Clock
  readonly #given = new Set<Given>()
  /** With how each is taken back. */
  readonly #sent = new Map<Given, () => void>()
  /** Without an answer yet, in the order sent, which is the order in which the process does them. */
  readonly #commands = new Set<Command>()
  /** Monotonic time since which the process has been at its oldest command. */
  #busySince = 0
  #expectedMs = 0
  #culprit: Command | undefined
  #isOver = false

  constructor(worker: SessionWorker, clock: Clock) {
    this.#worker = worker
    this.#clock = clock
  }

  get id(): string {
    return this.#worker.id
  }

  get slot(): string {
    return this.#worker.slot
  }

  get domain(): string | undefined {
    return this.#worker.domain
  }

  /** Can the process still be sent anything? A successor of the process has a lane of its own. */
  get isUp(): boolean {
    return !this.#isOver && this.#worker.isUp
  }

  /** Has it ended all that it was given? */
  get isEmpty(): boolean {
    return this.#given.size === 0
  }

  get overdueTenant(): string | undefined {
    return this.#isOverdue(OVERDUE_MS) ? this.#commands.values().next().value?.tenant : undefined
  }

  hasOf(tenant: string): boolean {
    for (const given of this.#given) if (given.tenant === tenant) return true
    return false
  }

  /** May it be given more, so that it has about `aheadMs` of work left when it ends what it does? */
  hasRoom(aheadMs: number): boolean {
    const unsent = this.#given.size - this.#sent.size
    if (!this.isUp || this.#given.size >= MAX_AHEAD || unsent >= MAX_UNSENT) return false
    return this.#sent.size === 0 || (this.#expectedMs < aheadMs && !this.#isOverdue(OVERDUE_MS))
  }

  give(handOver: Given): void {
    this.#given.add(handOver)
    this.#expectedMs += handOver.expectedMs
  }

  /** Sends what was given. @throws as `run`; TakenBackError */
  send(handOver: Given, placementId: number): Promise<HandOverReport> {
    const { key, tenant, expectedMs, items } = handOver
    const requests = items.map((request) => request.content)
    const command: Command = { kind: 'run', key, tenant, expectedMs }
    const { promise, resolve, reject } = Promise.withResolvers<HandOverReport>()
    this.#sent.set(handOver, () => {
      if (this.#commands.values().next().value === command) return
      reject(new TakenBackError(`worker ${this.id} has been at something else for too long`))
    })
    // An answer that comes after it was taken back is nobody's: another worker gives it.
    this.#track(command, () => this.#worker.run(placementId, requests)).then(resolve, reject)
    return promise
  }

  /** Has it been at a run for so long that nothing else can wait for that? */
  get isStuck(): boolean {
    return this.#isOverdue(STUCK_MS)
  }

  /** What waits behind a run that is out of proportion is given back to be handed to others; the run itself goes on. */
  recallStuck(): void {
    if (!this.isStuck) return
    for (const takeBack of this.#sent.values()) takeBack()
  }

  /** The hand-over ended, however. */
  end(handOver: Given): void {
    this.#sent.delete(handOver)
    if (!this.#given.delete(handOver)) return
    this.#expectedMs = this.#given.size === 0 ? 0 : this.#expectedMs - handOver.expectedMs
  }

  /** @throws GatewayError; WorkerDied when the process died opening it; ChildGoneError when it died of something else */
  open(spec: OpenSpec): Promise<OpenReport> {
    const key = `${spec.model}:${spec.version}`
    return this.#track({ kind: 'open', key, expectedMs: 0 }, () => this.#worker.open(spec))
  }

  close(placementId: number): Promise<void> {
    return this.#track({ kind: 'close', key: '', expectedMs: 0 }, () => this.#worker.close(placementId))
  }

  /** @throws GatewayError; WorkerDied when the process died running these; ChildGoneError when it died of something else */
  run(placementId: number, requests: readonly WorkerRequest[]): Promise<HandOverReport> {
    return this.#track({ kind: 'run', key: '', expectedMs: 0 }, () => this.#worker.run(placementId, requests))
  }

  setBatching(placementId: number, batching: Batching): void {
    this.#worker.setBatching(placementId, batching)
  }

  kill(reason: KillReason): void {
    this.#worker.kill(reason)
  }

  /** What the process has been at for longer than `limitMs` says it may. */
  hangingOn(limitMs: (kind: Command['kind'], expectedMs: number) => number): Hanging | undefined {
    const [oldest] = this.#commands
    // One that is being killed already is not up.
    if (oldest === undefined || !this.isUp) return undefined
    const isHanging = this.#clock.now() - this.#busySince > limitMs(oldest.kind, oldest.expectedMs)
    return isHanging ? oldest : undefined
  }

  /** The process is gone. */
  over(): void {
    this.#isOver = true
  }

  /** `slackMs`: what the clock and the way there and back may add. */
  #isOverdue(slackMs: number): boolean {
    const [oldest] = this.#commands
    if (oldest?.kind !== 'run') return false
    return this.#clock.now() - this.#busySince > TIMES_EXPECTED * oldest.expectedMs + slackMs
  }

  async #track<T>(command: Command, send: () => Promise<T>): Promise<T> {
    if (!this.isUp) throw new ChildGoneError(`worker ${this.id} went away before it was sent anything`)
    if (this.#commands.size === 0) this.#busySince = this.#clock.now()
    this.#commands.add(command)
    try {
      return await send()
    } catch (error) {
      throw error instanceof ChildGoneError ? this.#blamed(command, error) : error
    } finally {
      this.#commands.delete(command)
      this.#busySince = this.#clock.now()
    }
  }

  /** The same death, and whether it was this command that the process was at. */
  #blamed(command: Command, cause: ChildGoneError): ChildGoneError {
    // Refused rather than lost: the process lives, and was never sent it.
    if (this.isUp) return cause
    // Commands end in the order they were sent: the first to hear of the death is what was under way.
    this.#culprit ??= this.#commands.values().next().value
    if (this.#culprit !== command || command.kind === 'close') return cause
    return new WorkerDied(command.kind, this.id, cause)
  }
}

/** Rejects when the run is taken back, and settles in no other way: for those who wait for something else that is to come before it. */
export function takenBack(running: Promise<unknown>): Promise<never> {
  return new Promise((_resolve, reject) => {
    running.catch((error: unknown) => {
      if (error instanceof TakenBackError) reject(error)
    })
  })
}
