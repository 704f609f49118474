/**
 * Keeps the last worker that is free of a tenant from it while a run of its is out of all proportion: that may never end, and a second
 * such run would take everybody's last worker. Its other models wait meanwhile; where nobody else is about, they do not.
 */
import type { Clock } from '../lib/clock.ts'

export interface GivenWorker {
  readonly slot: string
  /** The tenant whose run it has been at for too long. */
  readonly overdueTenant: string | undefined
  /** Was it given something of the tenant that has not ended? */
  hasOf(tenant: string): boolean
}

export interface GivenWorkers {
  /** Those that are given work, */
  serving(): Iterable<GivenWorker>
  /** and those that only end what they were given, too. */
  all(): Iterable<GivenWorker>
}

/** How long after its last request a tenant counts as being about. */
const ABOUT_MS = 60_000
/** Overdue is a matter of tens of milliseconds: between two looks nothing is missed. */
const LOOK_MS = 5

interface Seen {
  readonly tenant: string
  at: number
}

export class LastWorker {
  readonly #clock: Clock
  readonly #workers: GivenWorkers
  /** The two tenants seen last. */
  #latest: Seen | undefined
  #before: Seen | undefined
  #lookedAt = Number.NEGATIVE_INFINITY
  readonly #overdue = new Set<string>()

  constructor(clock: Clock, workers: GivenWorkers) {
    this.#clock = clock
    this.#workers = workers
  }

  /** May the tenant, of which something waits, be given the worker of this slot? */
  mayHave(tenant: string, slot: string): boolean {
    const now = this.#clock.now()
    this.#saw(tenant, now)
    if (this.#overdue.size > 0 || now - this.#lookedAt >= LOOK_MS) this.#look(now)
    if (!this.#overdue.has(tenant) || !this.#hasCompany(tenant, now)) return true
    for (const worker of this.#workers.serving()) if (worker.slot !== slot && !worker.hasOf(tenant)) return true
    return false
  }

  #saw(tenant: string, now: number): void {
    if (this.#latest?.tenant === tenant) {
      this.#latest.at = now
      return
    }
    this.#before = this.#latest
    this.#latest = { tenant, at: now }
  }

  #look(now: number): void {
    this.#lookedAt = now
    this.#overdue.clear()
    for (const { overdueTenant } of this.#workers.all())
      if (overdueTenant !== undefined) this.#overdue.add(overdueTenant)
  }

  #hasCompany(tenant: string, now: number): boolean {
    const other = this.#latest?.tenant === tenant ? this.#before : this.#latest
    return other !== undefined && now - other.at < ABOUT_MS
  }
}
