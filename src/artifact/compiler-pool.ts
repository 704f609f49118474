/**
 * The compiler children of a cache folder: a lane for small sources that is always warm, one for big ones, one for digests that others
 * wait for, one in the background.
 */
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

/** No honest small source takes a second, a big one seldom ten; a bomb takes its whole deadline, and others need not wait for that. */
const SMALL = { longJobMs: 1000, maxBeside: 2 }
const BIG = { longJobMs: 10_000, maxBeside: 1 }
/** Jobs of nobody in particular: nobody is to be let past another. */
const OURS = { longJobMs: 60_000, maxBeside: 0 }

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
  readonly #digests: CompilerLane
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
    this.#small = new CompilerLane({
      ...common,
      ...SMALL,
      slots: options.smallSlots,
      keepsWarm: true,
      isBackground: false,
    })
    this.#big = new CompilerLane({ ...common, ...BIG, slots: options.bigSlots, keepsWarm: false, isBackground: true })
    this.#digests = new CompilerLane({ ...common, ...OURS, slots: 1, keepsWarm: false, isBackground: false })
    this.#background = new CompilerLane({ ...common, ...OURS, slots: 1, keepsWarm: false, isBackground: true })
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

  /** A job that reads files of so many bytes for requests that wait: no compile, however long, holds it up. */
  digest<T>(bytes: number, job: (turn: CompilerTurn) => Promise<T>): Promise<T> {
    return this.#run(this.#digests, '', bytes, job)
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
    const lanes = [this.#small, this.#big, this.#digests, this.#background]
    await Promise.all(lanes.map((lane) => lane.close(graceMs)))
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
