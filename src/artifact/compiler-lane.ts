/**
 * A lane of compiler children: jobs of one kind, a bounded number at a time, fair among tenants. Children stay warm between jobs and
 * are replaced after a death, growth, a number of jobs, or, where asked, a change of tenant.
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

const NO_PROCESS = 'no compiler process can be started now: the system is short of descriptors, processes or memory'

export class CompilerLane {
  readonly #options: LaneOptions
  readonly #queue = new TenantQueue<() => void>()
  readonly #idle: CompilerChild[] = []
  readonly #children = new Set<CompilerChild>()
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
    return this.#busy
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
    if (this.#busy >= this.#options.slots) await this.#turn(job.tenant)
    else this.#pass(job.tenant)
    try {
      return await this.#runOn(this.#take(job), job)
    } finally {
      const next = this.#queue.shift()
      if (next === undefined) this.#busy--
      else next()
    }
  }

  /** Jobs that wait are refused; those under way may finish within `graceMs`, then their children are killed. */
  async close(graceMs: number): Promise<void> {
    this.#isClosed = true
    this.#idleTimer?.cancel()
    for (let job = this.#queue.shift(); job !== undefined; job = this.#queue.shift()) job()
    for (const child of this.#children) child.end()
    const timer = this.#options.clock.after(graceMs, () => {
      for (const child of this.#children) child.kill()
    })
    await Promise.all([...this.#children].map((child) => child.exited))
    timer.cancel()
  }

  #pass(tenant: string): void {
    this.#busy++
    this.#queue.pass(tenant)
  }

  async #turn(tenant: string): Promise<void> {
    if (this.#queue.size >= this.#options.maxQueued) {
      throw new GatewayError('OVERLOADED', `${this.#queue.size} models wait to be compiled already`, {
        retryAfterMs: 1000,
      })
    }
    await new Promise<void>((resolve) => this.#queue.push(tenant, resolve))
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
