/** The compiler children of a cache folder: a lane for small sources that is always warm, one for big ones, one in the background. */
import type { Spawn } from '../child/orphan-guard.ts'
import type { Device } from '../domain/device.ts'
import type { Clock } from '../lib/clock.ts'
import type { CompilerChild } from './compiler-child.ts'
import type { LaneOptions } from './compiler-lane.ts'
import { CompilerLane } from './compiler-lane.ts'
import type { HelloCall, HelloReply } from './compiler-protocol.ts'
import { COMPILER_CALLS } from './compiler-protocol.ts'

export interface CompilerOptions {
  /** Children for sources up to `bigSourceBytes`, and for larger ones. */
  readonly smallSlots: number
  readonly bigSlots: number
  readonly bigSourceBytes: number
  /** Cap on private memory: so much, and `memoryFactor` times the source's bytes. Node alone takes 0.6 GiB. */
  readonly memoryBytes: number
  readonly memoryFactor: number
  /** A job may take so long, and `deadlineMsPerMiB` for each MiB of the source. */
  readonly deadlineMs: number
  readonly deadlineMsPerMiB: number
  /** A run on made-up inputs may take so long, and as much for each MiB as above; then the check is left to the first request. */
  readonly checkMs: number
  readonly maxQueued: number
  readonly maxJobs: number
  readonly maxIdleBytes: number
  readonly idleMs: number
  readonly isolatesTenants: boolean
}

export const COMPILER_DEFAULTS: CompilerOptions = {
  smallSlots: 1,
  bigSlots: 1,
  bigSourceBytes: 16 * 2 ** 20,
  memoryBytes: 2 ** 30,
  memoryFactor: 4,
  deadlineMs: 30_000,
  deadlineMsPerMiB: 100,
  checkMs: 10_000,
  maxQueued: 10_000,
  maxJobs: 2_000,
  maxIdleBytes: 512 * 2 ** 20,
  idleMs: 30_000,
  isolatesTenants: false,
}

/** A child that serves one job, with the job's deadline. */
export interface CompilerTurn {
  call<T>(kind: number, request: object): Promise<T>
}

export interface PoolHooks {
  readonly clock: Clock
  /** Absolute path of the cache folder. */
  readonly cache: string
  readonly spawn: Spawn
  readonly onLine: (pid: number, line: string) => void
  readonly onEvent: (name: string, fields: Readonly<Record<string, string | number>>) => void
}

export class CompilerPool {
  readonly #options: CompilerOptions
  readonly #small: CompilerLane
  readonly #big: CompilerLane
  readonly #background: CompilerLane

  constructor(options: CompilerOptions, hooks: PoolHooks) {
    this.#options = options
    const { idleMs, maxQueued, maxJobs, maxIdleBytes, isolatesTenants } = options
    const common = {
      ...hooks,
      idleMs,
      maxQueued,
      maxJobs,
      maxIdleBytes,
      isolatesTenants,
    } satisfies Partial<LaneOptions>
    this.#small = new CompilerLane({ ...common, slots: options.smallSlots, keepsWarm: true, isBackground: false })
    this.#big = new CompilerLane({ ...common, slots: options.bigSlots, keepsWarm: false, isBackground: true })
    this.#background = new CompilerLane({ ...common, slots: 1, keepsWarm: false, isBackground: true })
  }

  /** Starts the warm child and asks for its versions. @throws GatewayError DEVICE_UNAVAILABLE when a child cannot use the device */
  async start(device: Device): Promise<HelloReply> {
    this.#small.warm(this.#capFor(0))
    return await this.#small.run({
      tenant: '',
      dataLimitBytes: this.#capFor(0),
      run: (child) => child.call(COMPILER_CALLS.hello, { device } satisfies HelloCall, this.#options),
    })
  }

  /** One job on a source of so many bytes. @throws GatewayError */
  compile<T>(tenant: string, bytes: number, job: (turn: CompilerTurn) => Promise<T>): Promise<T> {
    const lane = bytes <= this.#options.bigSourceBytes ? this.#small : this.#big
    return this.#run(lane, tenant, bytes, job)
  }

  /** A job that nobody waits for. */
  inBackground<T>(tenant: string, bytes: number, job: (turn: CompilerTurn) => Promise<T>): Promise<T> {
    return this.#run(this.#background, tenant, bytes, job)
  }

  get queued(): { readonly small: number; readonly big: number; readonly background: number } {
    return { small: this.#small.queued, big: this.#big.queued, background: this.#background.queued }
  }

  get running(): { readonly small: number; readonly big: number; readonly background: number } {
    return { small: this.#small.running, big: this.#big.running, background: this.#background.running }
  }

  async close(graceMs: number): Promise<void> {
    await Promise.all([this.#small.close(graceMs), this.#big.close(graceMs), this.#background.close(graceMs)])
  }

  #run<T>(lane: CompilerLane, tenant: string, bytes: number, job: (turn: CompilerTurn) => Promise<T>): Promise<T> {
    const extraMs = (bytes / 2 ** 20) * this.#options.deadlineMsPerMiB
    const deadlines = { deadlineMs: this.#options.deadlineMs + extraMs, checkMs: this.#options.checkMs + extraMs }
    const turn = (child: CompilerChild): CompilerTurn => ({
      call: (kind, request) => child.call(kind, request, deadlines),
    })
    return lane.run({ tenant, dataLimitBytes: this.#capFor(bytes), run: (child) => job(turn(child)) })
  }

  /** Small sources share one cap, so that any small child will do. */
  #capFor(bytes: number): number {
    const { memoryBytes, memoryFactor, bigSourceBytes } = this.#options
    return Math.ceil(memoryBytes + memoryFactor * Math.max(bytes, bigSourceBytes))
  }
}
