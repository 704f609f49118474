/**
 * A lane of compiler children: jobs of one kind, a bounded number at a time, fair among tenants. A job that takes long gives its slot
 * to another tenant's and goes on beside it. Children stay warm between jobs and are replaced after a death, growth, a number of
 * jobs, or, where asked, a change of tenant.
 */
import type { Spawn } from '../child/orphan-guard.ts'
import { GatewayError } from '../domain/errors.ts'
import type { Clock, Timer } from '../lib/clock.ts'
import { CompilerChild } from './compiler-child.ts'
import { TenantQueue } from './tenant-queue.ts'

export interface LaneOptions {
  readonly clock: Clock
  /** Absolute path of the cache folder. */
  readonly cache: string
  readonly spawn: Spawn
  /** Jobs at a time, hence children. */
  readonly slots: number
  /** Keeps one child ready even when idle; a start costs 60-100 ms. */
  readonly keepsWarm: boolean
  readonly isBackground: boolean
  /** A job that has taken so long goes on beside the slots when another tenant's waits, */
  readonly longJobMs: number
  /** if no more do: each is a process with a memory cap of its own. */
  readonly maxBeside: number
  /** Idle children beyond the warm one end after so long. */
  readonly idleMs: number
  readonly maxQueued: number
  /** Jobs after which a child is replaced, whatever its memory. */
  readonly maxJobs: number
  /** Private bytes after a job that show that it kept something. */
  readonly maxIdleBytes: number
  /** A child serves one tenant only. */
  readonly isolatesTenants: boolean
  readonly onLine: (pid: number, line: string) => void
  readonly onEvent: (name: string, fields: Readonly<Record<string, string | number>>) => void
}

export interface LaneJob<T> {
  readonly tenant: string
  /** The child must have at least this cap. */
  readonly dataLimitBytes: number
  run(child: CompilerChild): Promise<T>
}

interface Waiting {
  readonly tenant: string
  /** Its slot is taken for it. */
  start(): void
}

/** A job under way. */
interface Running {
  readonly tenant: string
  child: CompilerChild | undefined
  isLong: boolean
  /** It goes on without a slot: another tenant's job has it. */
  isBeside: boolean
}

const NO_PROCESS = 'no compiler process can be started now: the system is short of descriptors, processes or memory'

export class CompilerLane {
  readonly #options: LaneOptions
  readonly #queue = new TenantQueue<Waiting>()
  readonly #idle: CompilerChild[] = []
  readonly #children = new Set<CompilerChild>()
  readonly #running = new Set<Running>()
  /** Slots taken. */
  #busy = 0
  #idleTimer: Timer | undefined
  #isClosed = false

  constructor(options: LaneOptions) {
    this.#options = options
  }

  /** Jobs that wait for a child. */
  get queued(): number {
    return this.#queue.size
  }

  /** Jobs under way. */
  get running(): number {
    return this.#running.size
  }

  /** Starts the warm child. */
  warm(dataLimitBytes: number): void {
    if (!this.#options.keepsWarm || this.#isClosed || this.#idle.length > 0) return
    try {
      this.#idle.push(this.#start(dataLimitBytes))
    } catch {
      // Without descriptors or memory for one just now: the next job starts it, or is told.
    }
  }

  /** @throws OVERLOADED when too many wait, DRAINING after close, else what the job throws */
  async run<T>(job: LaneJob<T>): Promise<T> {
    if (this.#isClosed) throw new GatewayError('DRAINING', 'the compilers are closed')
    if (!this.#hasSlot(job.tenant)) await this.#turn(job.tenant)
    else this.#queue.pass(job.tenant)
    const running: Running = { tenant: job.tenant, child: undefined, isLong: false, isBeside: false }
    this.#running.add(running)
    const long = this.#options.clock.after(this.#options.longJobMs, () => this.#tookLong(running))
    try {
      running.child = this.#take(job)
      return await this.#runOn(running.child, job)
    } finally {
      long.cancel()
      this.#running.delete(running)
      if (!running.isBeside) this.#busy--
      this.#fill()
    }
  }

  /** Jobs that wait are refused; those under way may finish within `graceMs`, then their children are killed. */
  async close(graceMs: number): Promise<void> {
    this.#isClosed = true
    this.#idleTimer?.cancel()
    for (let job = this.#queue.shift(); job !== undefined; job = this.#queue.shift()) job.start()
    for (const child of this.#children) child.end()
    const timer = this.#options.clock.after(graceMs, () => {
      for (const child of this.#children) child.kill()
    })
    await Promise.all([...this.#children].map((child) => child.exited))
    timer.cancel()
  }

  /** Takes a slot for a job that has just come, if one is free or a long job's can be had. */
  #hasSlot(tenant: string): boolean {
    // Where a slot is free, those in line may not have it.
    if (!this.#mayTake(tenant)) return false
    if (this.#busy >= this.#options.slots && !this.#setBeside(tenant)) return false
    this.#busy++
    return true
  }

  #tookLong(running: Running): void {
    running.isLong = true
    running.child?.runLast()
    this.#fill()
  }

  /** Gives slots to those who wait. */
  #fill(): void {
    const mayTake = (tenant: string): boolean =>
      this.#mayTake(tenant) && (this.#busy < this.#options.slots || this.#besideFor(tenant) !== undefined)
    for (let next = this.#queue.shift(mayTake); next !== undefined; next = this.#queue.shift(mayTake)) {
      if (this.#busy >= this.#options.slots) this.#setBeside(next.tenant)
      this.#busy++
      next.start()
    }
  }

  /** One whose long job goes on beside the slots has had what is its share until that ends. */
  #mayTake(tenant: string): boolean {
    for (const one of this.#running) if (one.isBeside && one.tenant === tenant) return false
    return true
  }

  /** The long job of somebody else that can give its slot to this tenant. */
  #besideFor(tenant: string): Running | undefined {
    let beside = 0
    let found: Running | undefined
    for (const one of this.#running) {
      if (one.isBeside) beside++
      else if (one.isLong && one.tenant !== tenant) found ??= one
    }
    return beside < this.#options.maxBeside ? found : undefined
  }

  #setBeside(tenant: string): boolean {
    const running = this.#besideFor(tenant)
    if (running === undefined) return false
    running.isBeside = true
    this.#busy--
    return true
  }

  async #turn(tenant: string): Promise<void> {
    if (this.#queue.size >= this.#options.maxQueued) {
      throw new GatewayError('OVERLOADED', `${this.#queue.size} models wait to be compiled already`, {
        retryAfterMs: 1000,
      })
    }
    await new Promise<void>((start) => this.#queue.push(tenant, { tenant, start }))
    if (this.#isClosed) throw new GatewayError('DRAINING', 'the compilers are closed')
  }

  async #runOn<T>(child: CompilerChild, job: LaneJob<T>): Promise<T> {
    child.jobs++
    child.tenant = job.tenant
    try {
      return await job.run(child)
    } finally {
      await this.#giveBack(child)
    }
  }

  #take({ tenant, dataLimitBytes }: LaneJob<unknown>): CompilerChild {
    for (let child = this.#idle.pop(); child !== undefined; child = this.#idle.pop()) {
      const isForeign = this.#options.isolatesTenants && child.tenant !== '' && child.tenant !== tenant
      if (child.isUsable && !isForeign && child.dataLimitBytes >= dataLimitBytes) return child
      child.end()
    }
    return this.#start(dataLimitBytes)
  }

  async #giveBack(child: CompilerChild): Promise<void> {
    const { maxJobs, maxIdleBytes, clock, idleMs } = this.#options
    const bytes = child.isUsable ? await child.privateBytes() : 0
    const reason = !child.isUsable
      ? 'gone'
      : child.jobs >= maxJobs
        ? 'jobs'
        : bytes > maxIdleBytes
          ? 'growth'
          : undefined
    if (reason === undefined && !this.#isClosed) {
      this.#idle.push(child)
      this.#idleTimer?.cancel()
      this.#idleTimer = clock.after(idleMs, () => this.#endIdle())
      return
    }
    child.end()
    if (reason !== undefined)
      this.#options.onEvent('compiler.replaced', { pid: child.pid, reason, jobs: child.jobs, bytes })
    this.warm(child.dataLimitBytes)
  }

  #endIdle(): void {
    const keep = this.#options.keepsWarm ? 1 : 0
    for (const child of this.#idle.splice(keep)) child.end()
  }

  #start(dataLimitBytes: number): CompilerChild {
    const { cache, clock, isBackground, onEvent, onLine, spawn } = this.#options
    let child: CompilerChild
    try {
      child = new CompilerChild({
        clock,
        cache,
        spawn,
        dataLimitBytes,
        isBackground,
        onLine: (line) => onLine(child.pid, line),
        onExit: () => this.#forget(child),
      })
    } catch (cause) {
      throw new GatewayError('OVERLOADED', NO_PROCESS, { retryAfterMs: 1000 }, { cause })
    }
    this.#children.add(child)
    onEvent('compiler.started', { pid: child.pid, dataLimitBytes })
    return child
  }

  #forget(child: CompilerChild): void {
    this.#children.delete(child)
    const at = this.#idle.indexOf(child)
    if (at !== -1) this.#idle.splice(at, 1)
  }
}
