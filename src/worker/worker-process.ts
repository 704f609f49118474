/**
 * One worker process from its start to its end: calls, and why it ended. Knows what it was killed for, because the process itself
 * cannot say; a death that nobody here ordered is told apart by its signal.
 */
import { stripVTControlCharacters } from 'node:util'
import { ChildCalls, ChildGoneError } from '../child/calls.ts'
import { countMappingsNow, processMemoryNow } from '../child/memory.ts'
import type { Spawn } from '../child/orphan-guard.ts'
import type { Child, ExitInfo } from '../child/spawn.ts'
import type { Device } from '../domain/device.ts'
import { GatewayError } from '../domain/errors.ts'
import { COMMAND } from './commands.ts'
import type { Hello } from './messages.ts'

/** What a process of ours is ended for: over its memory cap, a run that hangs, replaced by a successor, given to another trust domain, its device missing, the pool's end. */
export type KillReason = 'memory-cap' | 'hang' | 'recycle' | 'rebind' | 'device' | 'stop'
/** `crash`: it ended by itself; `host`: killed from outside, as the system does when the machine is out of memory. */
export type DeathReason = KillReason | 'crash' | 'host'

export interface WorkerExit extends ExitInfo {
  readonly reason: DeathReason
  /** Private memory that it was killed at, when it was killed for that. */
  readonly privateBytes?: number
}

/** The worker's process went away before it answered. */
export class WorkerGoneError extends ChildGoneError {
  readonly exit: WorkerExit

  constructor(message: string, exit: WorkerExit, options?: ErrorOptions) {
    super(message, options)
    this.exit = exit
  }
}

export interface ProcessOptions {
  readonly entry: URL
  readonly spawn: Spawn
  /** What its sessions run on. */
  readonly device: Device
  /** Of one answer; absent = no limit. */
  readonly maxAnswerBytes?: number | undefined
  readonly onLine: (line: string) => void
}

export interface AtStart {
  readonly privateBytes: number
  readonly mappings: number
}

/**
 * mallopt(3) of glibc: what a run takes in large pieces is mapped, and given back when it ends. Left to itself glibc learns from the first
 * such piece to keep them in its heap, where what sessions keep comes to lie between them: 6.5 MiB for each ResNet-50 against 2.4, at
 * some 3 % of its run time.
 */
const HEAP = { MALLOC_MMAP_THRESHOLD_: String(2 ** 20), MALLOC_TRIM_THRESHOLD_: String(8 * 2 ** 20) }
/** Thousandths of all memory: workers go before the main process, and after compilers, which nobody waits for as long. */
const OOM_SCORE_ADJ = 200

export class WorkerProcess {
  /** Resolves when the process is gone; never rejects. */
  readonly exited: Promise<WorkerExit>
  /** Resolves once calls are taken. @throws WorkerGoneError if the process ends first; GatewayError DEVICE_UNAVAILABLE, and it is ended */
  readonly ready: Promise<void>
  readonly #child: Child
  readonly #calls: ChildCalls
  /** Replaced when the process is given to a worker. */
  onLine: (line: string) => void
  #domain: string | undefined
  #hasOpened = false
  #isReady = false
  #isEnding = false
  #killed: { readonly reason: KillReason; readonly privateBytes?: number } | undefined
  #atStart: AtStart = { privateBytes: 0, mappings: 0 }

  /** @throws Error when no process can be made at all */
  constructor({ entry, spawn, device, maxAnswerBytes, onLine }: ProcessOptions) {
    this.onLine = onLine
    const child = spawn({
      entry,
      env: HEAP,
      oomScoreAdj: OOM_SCORE_ADJ,
      onLine: (_stream, line) => this.onLine(stripVTControlCharacters(line)),
    })
    this.#child = child
    this.#calls = new ChildCalls(child.channel)
    // A process that closed its channel can do nothing any more, even if it lives on.
    child.channel.once('close', () => {
      if (!this.#isEnding) child.kill()
    })
    this.exited = child.exited.then((exit) => ({ ...exit, ...this.#whyEnded(exit) }))
    this.ready = this.#greet({ device, ...(maxAnswerBytes !== undefined && { maxAnswerBytes }) })
    // Whoever takes the process over looks at this later.
    this.ready.catch(() => {})
  }

  get pid(): number {
    return this.#child.pid
  }

  /** Does it take calls? */
  get isUp(): boolean {
    // Doomed, or the channel closed before the exit is known: what is sent in between would only be lost.
    return this.#isReady && this.#killed === undefined && !this.#calls.isClosed
  }

  /** Is it at something? */
  get isBusy(): boolean {
    return this.#calls.pending > 0
  }

  /** Private memory and mappings of the process when it had done nothing yet; 0 before that. */
  get atStart(): AtStart {
    return this.#atStart
  }

  /** The trust domain of all that was ever opened in it; undefined = nothing, or everybody's. */
  get domain(): string | undefined {
    return this.#domain
  }

  /** Before each open. The first one counts for good. @returns false when the process is another domain's */
  bind(domain: string | undefined): boolean {
    if (!this.#hasOpened) this.#domain = domain
    this.#hasOpened = true
    return this.#domain === domain
  }

  /** @throws WorkerGoneError; the GatewayError that the process answered */
  async call(kind: number, payload: readonly Uint8Array[]): Promise<Buffer> {
    try {
      return await this.#calls.call(kind, payload)
    } catch (error) {
      if (!(error instanceof ChildGoneError)) throw error
      // The channel breaks a moment before the system tells how the process ended, which is what everybody will ask.
      throw new WorkerGoneError(error.message, await this.exited, { cause: error })
    }
  }

  runLast(): void {
    this.#child.runLast()
  }

  /** Ends the process at once, whatever it does; the first reason counts. */
  kill(reason: KillReason, privateBytes?: number): void {
    this.#killed ??= privateBytes === undefined ? { reason } : { reason, privateBytes }
    this.#child.kill()
  }

  /** Takes no more calls, lets those under way end, and then the process. */
  async end(reason: KillReason): Promise<void> {
    this.#killed ??= { reason }
    this.#isEnding = true
    await this.#calls.drained()
    this.#calls.end()
    await this.exited
  }

  async #greet(hello: Hello): Promise<void> {
    try {
      await this.call(COMMAND.hello, [Buffer.from(JSON.stringify(hello))])
    } catch (error) {
      // One that lives on without its device would be waited for for ever.
      if (error instanceof GatewayError) this.kill('device')
      throw error
    }
    const privateBytes = processMemoryNow(this.pid)?.privateBytes ?? 0
    this.#atStart = { privateBytes, mappings: countMappingsNow(this.pid) }
    this.#isReady = true
  }

  #whyEnded({ signal }: ExitInfo): Pick<WorkerExit, 'reason' | 'privateBytes'> {
    return this.#killed ?? { reason: signal === 'SIGKILL' ? 'host' : 'crash' }
  }
}
