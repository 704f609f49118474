/**
 * A worker process as the replica sees it, without a process: does its commands one after the other, in the order they came,
 * answers each request with the file that was opened and the request's own bytes, and dies when the test says so: at once, or of a
 * request whose body begins with `poison`. One that begins with `hang` is never answered; one with `bad` is refused.
 */
import assert from 'node:assert/strict'
import { deviceOutOfMemory } from '../../src/domain/device-memory.ts'
import { asGatewayError, GatewayError } from '../../src/domain/errors.ts'
import { slotOf } from '../../src/domain/worker-slot.ts'
import { detach } from '../../src/lib/detach.ts'
import type { SessionWorker } from '../../src/replica/session-worker.ts'
import type { Batching, HandOverReport, OpenReport, OpenSpec, WorkerRequest } from '../../src/worker/messages.ts'
import type { DeathReason, WorkerExit } from '../../src/worker/worker-process.ts'
import { WorkerGoneError } from '../../src/worker/worker-process.ts'
import { Gate } from './gate.ts'

interface Command {
  readonly gate: Gate
  readonly label: string
  readonly act: () => unknown
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

/** Thrown by what ends the process. */
class Death extends Error {}

/** What the reports say; the manual clock does not move by itself. */
export const TIMES = { openMs: 5, warmUpMs: 3, decodeMs: 0.25, runMs: 2, encodeMs: 0.25 } as const

/** What a run with a body that begins with `too much` is said to have asked the GPU for. */
export const MORE_BYTES = 2 * 1024 * 1024

export class ScriptedWorker implements SessionWorker {
  readonly id: string
  readonly opens = new Gate()
  readonly runs = new Gate()
  readonly closes = new Gate()
  /** Sessions that are open, by placement. */
  readonly sessions = new Map<number, OpenSpec>()
  /** Every open and run that was begun, as `open a:1`, `run a:1 x2`. */
  readonly log: string[] = []
  /** What opening a session is measured to take, by model name. */
  readonly measured = new Map<string, number>()
  /** What opening a session is measured to take of the GPU, by model name; absent: no driver tells. */
  readonly onDevice = new Map<string, number>()
  /** Errors that the next opens of a model end with, one each. */
  readonly refusals = new Map<string, GatewayError[]>()
  /** Models that cannot be opened here. */
  readonly broken = new Map<string, GatewayError>()
  /** Models whose open ends the process. */
  readonly deadly = new Set<string>()
  /** Called when the process has ended, however. */
  onDied: (reason: DeathReason) => void = () => {}
  readonly #failed = new Map<number, GatewayError>()
  #commands: Command[] = []
  #isWorking = false
  #life = 0
  #domain: string | undefined
  #hasOpened = false
  #isUp = true
  #exit: WorkerExit = { code: null, signal: null, reason: 'crash' }

  constructor(id: string) {
    this.id = id
  }

  get isUp(): boolean {
    return this.#isUp
  }

  /** Of all that was opened since it came up. */
  get domain(): string | undefined {
    return this.#domain
  }

  get slot(): string {
    return slotOf(this.id)
  }

  /** The process ends: what it has not answered it never will. The replica learns of the exit itself separately. */
  die(reason: DeathReason = 'crash'): void {
    this.#exit = { code: null, signal: reason === 'crash' ? 'SIGSEGV' : 'SIGKILL', reason }
    this.#isUp = false
    this.#life++
    this.#isWorking = false
    this.sessions.clear()
    this.#failed.clear()
    for (const gate of [this.opens, this.runs, this.closes]) gate.drop()
    const lost = this.#commands
    this.#commands = []
    for (const { reject } of lost) reject(this.#gone('the child process went away'))
    this.onDied(reason)
  }

  /** A new process; nothing is open in it. */
  respawn(): void {
    this.#isUp = true
    this.#hasOpened = false
    this.#domain = undefined
  }

  open(spec: OpenSpec): Promise<OpenReport> {
    const name = `${spec.model}:${spec.version}`
    return this.#queue(this.opens, name, () => {
      this.log.push(`open ${name}${spec.isPacked ? ' packed' : ''}`)
      assert.ok(!this.#hasOpened || this.#domain === spec.domain, `${this.#domain} and ${spec.domain} in one process`)
      this.#hasOpened = true
      this.#domain = spec.domain
      for (const other of this.sessions.values()) assert.notEqual(other.file, spec.file, `${name} is opened twice here`)
      if (this.deadly.has(spec.model)) throw new Death()
      const error = this.broken.get(spec.model)
      if (error !== undefined) throw error
      const refusal = this.refusals.get(spec.model)?.shift()
      if (refusal !== undefined) throw refusal
      this.sessions.set(spec.placementId, spec)
      const privateBytes = this.measured.get(spec.model) ?? 0
      const deviceBytes = spec.measuresDevice === true ? this.onDevice.get(spec.model) : undefined
      return {
        openMs: TIMES.openMs,
        privateBytes,
        mappings: spec.mappings ?? 0,
        warmUpMs: TIMES.warmUpMs,
        warmUpErrors: [],
        ...(deviceBytes !== undefined && { deviceBytes }),
      }
    }).catch((error: unknown) => {
      if (error instanceof GatewayError) this.#failed.set(spec.placementId, error)
      throw error
    })
  }

  close(placementId: number): Promise<void> {
    return this.#queue(this.closes, String(placementId), () => {
      this.sessions.delete(placementId)
    })
  }

  run(placementId: number, requests: readonly WorkerRequest[]): Promise<HandOverReport> {
    const bodies = requests.map(({ body }) => Buffer.concat(body).toString())
    return this.#queue(this.runs, bodies.join(' '), () => {
      const spec = this.sessions.get(placementId)
      if (spec === undefined) {
        throw this.#failed.get(placementId) ?? new GatewayError('INTERNAL', `placement ${placementId} is not open`)
      }
      this.log.push(`run ${spec.model}:${spec.version} x${requests.length}`)
      if (bodies.some((body) => body.startsWith('poison'))) throw new Death()
      if (bodies.some((body) => body.startsWith('hang'))) return new Promise<never>(() => {})
      const good = bodies.filter((body) => !/^(?:bad|too much)/.test(body)).length
      const rows = spec.isBatchSafe ? good : 1
      const answers = bodies.map((body) =>
        body.startsWith('too much')
          ? { ok: false as const, error: deviceOutOfMemory('run', MORE_BYTES, new Error('CUDA out of memory')) }
          : body.startsWith('bad')
            ? { ok: false as const, error: new GatewayError('BAD_INPUT_VALUE', `'${body}' is refused`) }
            : { ok: true as const, body: Buffer.from(`${spec.file} ${body}`), rows },
      )
      const { decodeMs, runMs, encodeMs } = TIMES
      return { answers, decodeMs, runMs, encodeMs, runs: good === 0 ? 0 : good / rows, rows: good }
    })
  }

  setBatching(placementId: number, batching: Batching): void {
    const spec = this.sessions.get(placementId)
    if (spec !== undefined) this.sessions.set(placementId, { ...spec, ...batching })
  }

  kill(reason: DeathReason): void {
    this.die(reason)
  }

  #gone(message: string): WorkerGoneError {
    return new WorkerGoneError(message, this.#exit)
  }

  #queue<T>(gate: Gate, label: string, act: () => T | Promise<T>): Promise<T> {
    if (!this.#isUp) return Promise.reject(this.#gone(`worker ${this.id} is not up`))
    return new Promise<T>((resolve, reject) => {
      this.#commands.push({ gate, label, act, resolve: (value) => resolve(value as T), reject })
      detach(this.#work())
    })
  }

  async #work(): Promise<void> {
    if (this.#isWorking) return
    this.#isWorking = true
    const life = this.#life
    for (let command = this.#commands[0]; command !== undefined; command = this.#commands[0]) {
      const { gate, label, act, resolve, reject } = command
      try {
        await gate.pass(label)
        if (life !== this.#life) return
        const value = await act()
        if (life !== this.#life) return
        resolve(value)
      } catch (error) {
        if (life !== this.#life) return
        if (error instanceof Death) return this.die()
        reject(asGatewayError(error))
      }
      this.#commands.shift()
    }
    this.#isWorking = false
  }
}
