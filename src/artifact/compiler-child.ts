/** One compiler process as its parent sees it: calls with a deadline, and what to think of a death. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ChildCalls, ChildGoneError } from '../child/calls.ts'
import { readProcessMemory } from '../child/memory.ts'
import type { Spawn } from '../child/orphan-guard.ts'
import { processCpuMs } from '../child/process-stat.ts'
import type { Child, ExitInfo } from '../child/spawn.ts'
import { GatewayError } from '../domain/errors.ts'
import { formatByteSize } from '../lib/byte-size.ts'
import type { Clock, Timer } from '../lib/clock.ts'
import { CHECKING } from './compiler-protocol.ts'
import { stagingFolder } from './layout.ts'
import { refusal } from './refusal.ts'

export interface CompilerChildOptions {
  readonly clock: Clock
  /** Absolute path of the cache folder. */
  readonly cache: string
  readonly spawn: Spawn
  /** Cap on private writable memory; over it, allocations fail. */
  readonly dataLimitBytes: number
  readonly isBackground: boolean
  onLine(line: string): void
  /** The process is gone, and what it staged. */
  onExit(): void
}

export interface CallDeadlines {
  /** Milliseconds after which the child is killed, if it had the processor for half of them, and at `WAITS_FOR_PROCESSOR` times as many if not, */
  readonly deadlineMs: number
  /** and from the moment on when it runs the model on made-up inputs, which may not suit it at all. */
  readonly checkMs: number
}

/** Thousandths of all memory: a compiler goes before any worker, because a compile is tried again and serves nobody yet. */
const OOM_SCORE_ADJ = 400

/** On a machine that has no time for compilers a deadline says nothing of the model, but even then a job must end. */
const WAITS_FOR_PROCESSOR = 5

let serial = 0

export class CompilerChild {
  readonly dataLimitBytes: number
  /** Whose sources it has read; '' = none yet. */
  tenant = ''
  /** Jobs begun. */
  jobs = 0
  readonly #child: Child
  readonly #calls: ChildCalls
  readonly #clock: Clock
  #isGone = false
  #runsLast = false
  #isEnding = false
  #killedAfterMs: number | undefined
  #isChecking = false
  #onChecking = () => {}

  constructor(options: CompilerChildOptions) {
    this.dataLimitBytes = options.dataLimitBytes
    this.#clock = options.clock
    // All that it stages lies in one folder, so that a child that was killed leaves nothing either.
    const staging = join(options.cache, stagingFolder, `compiler-${++serial}`)
    this.#child = options.spawn({
      entry: new URL('./compiler-main.ts', import.meta.url),
      args: [staging],
      dataLimitBytes: options.dataLimitBytes,
      isBackground: options.isBackground,
      oomScoreAdj: OOM_SCORE_ADJ,
      onLine: (_stream, line) => options.onLine(line),
    })
    this.#calls = new ChildCalls(this.#child.channel, (said) => {
      if (said.toString() === CHECKING) this.#onChecking()
    })
    this.exited = this.#child.exited.then(async (exit) => {
      this.#isGone = true
      // What cannot be removed now goes with the whole staging folder at the next start.
      await rm(staging, { recursive: true, force: true }).catch(() => {})
      options.onExit()
      return exit
    })
  }

  /** Resolves when the process is gone, and what it staged. */
  readonly exited: Promise<ExitInfo>

  get pid(): number {
    return this.#child.pid
  }

  /** May it take another job? */
  get isUsable(): boolean {
    return !this.#isGone && !this.#isEnding && !this.#runsLast && this.#killedAfterMs === undefined
  }

  /** Its job has taken so long that everybody else comes first; it takes no other. */
  runLast(): void {
    this.#runsLast = true
    this.#child.runLast()
  }

  /**
   * @throws GatewayError as the child answered it; ARTIFACT_INVALID with `strike` in its details when the child died of the job or had
   * to be killed for it; MODEL_LOAD_FAILED when someone else killed it; DRAINING when the child was told to end meanwhile
   */
  async call<T>(kind: number, request: object, { deadlineMs, checkMs }: CallDeadlines): Promise<T> {
    let deadline = this.#deadline(deadlineMs)
    this.#isChecking = false
    this.#onChecking = () => {
      this.#isChecking = true
      deadline.cancel()
      deadline = this.#deadline(checkMs)
    }
    try {
      return JSON.parse((await this.#calls.call(kind, [Buffer.from(JSON.stringify(request))])).toString()) as T
    } catch (error) {
      throw error instanceof ChildGoneError ? await this.#deathError(error) : error
    } finally {
      deadline.cancel()
    }
  }

  /** Private bytes now; 0 when it is gone. */
  async privateBytes(): Promise<number> {
    return (await readProcessMemory(this.#child.pid))?.privateBytes ?? 0
  }

  /** Lets it go when idle: a closed channel is the order to end. Idempotent. */
  end(): void {
    this.#isEnding = true
    this.#calls.end()
  }

  kill(): void {
    this.#isEnding = true
    this.#child.kill()
  }

  /** Kills the child when what it begins now has taken too long. */
  #deadline(ms: number): Pick<Timer, 'cancel'> {
    const { pid } = this.#child
    const begunAt = this.#clock.now()
    const begunCpuMs = processCpuMs(pid)
    const look = (): void => {
      const tookMs = this.#clock.now() - begunAt
      const cpuMs = begunCpuMs === undefined ? ms : (processCpuMs(pid) ?? 0) - begunCpuMs
      if (cpuMs < ms / 2 && tookMs < WAITS_FOR_PROCESSOR * ms) {
        timer = this.#clock.after(Math.min(ms - cpuMs, WAITS_FOR_PROCESSOR * ms - tookMs), look)
        return
      }
      this.#killedAfterMs = tookMs
      this.#child.kill()
    }
    let timer = this.#clock.after(ms, look)
    return { cancel: () => timer.cancel() }
  }

  async #deathError(cause: ChildGoneError): Promise<GatewayError> {
    const { code, signal } = await this.#child.exited
    const phase = this.#isChecking ? 'check' : 'compile'
    const ms = this.#killedAfterMs
    if (ms !== undefined) {
      const deadlineMs = Math.round(ms)
      const message = this.#isChecking
        ? `a run of the model on made-up inputs took longer than ${deadlineMs} ms and was stopped; make the model simpler, or raise artifact.checkMs`
        : `compiling took longer than ${deadlineMs} ms and was stopped; make the model simpler, or raise artifact.compileDeadlineMs`
      return refusal(message, { strike: 'deadline', phase, deadlineMs }, cause)
    }
    if (this.#isEnding) return new GatewayError('DRAINING', 'the compiler was stopped', {}, { cause })
    // Nobody here sent it: the machine ran out of memory, or an operator ended the process. A crash has a signal of its own.
    if (signal === 'SIGKILL') {
      const message =
        'the compiler process was killed from outside, as the system does when the machine is out of memory; it is tried again'
      return new GatewayError('MODEL_LOAD_FAILED', message, { details: { signal } }, { cause })
    }
    const how = signal ?? `exit code ${code}`
    const cap = formatByteSize(this.dataLimitBytes)
    const message = `the compiler process died of ${how} under this model (memory cap ${cap}); the model crashes the engine or needs more memory`
    return refusal(message, { strike: 'crash', phase, signal: how }, cause)
  }
}
