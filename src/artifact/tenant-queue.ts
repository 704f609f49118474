/**
 * Jobs in order of arrival within a tenant, and in turns among tenants: one that brings a thousand models delays the others by one.
 *
 * Start-time fair queueing with equal weights (Goyal, Vin and Cheng, 1996), a job counting as one: whoever had no turn lately comes
 * before whoever is having one, also when they were not in line before.
 */
export class TenantQueue<T> {
  readonly #waiting = new Map<string, { readonly jobs: T[]; start: number }>()
  /** Where the turns of tenants that left the line ended, as long as that is ahead of what is under way. */
  readonly #ended = new Map<string, number>()
  /** Start of the turn under way. */
  #now = 0
  #size = 0

  get size(): number {
    return this.#size
  }

  push(tenant: string, job: T): void {
    const waiting = this.#waiting.get(tenant)
    if (waiting === undefined) this.#waiting.set(tenant, { jobs: [job], start: this.#startOf(tenant) })
    else waiting.jobs.push(job)
    this.#size++
  }

  /** The next job, or undefined when there is none. Tenants that `mayTake` refuses keep their place in line. */
  shift(mayTake: (tenant: string) => boolean = () => true): T | undefined {
    let next: { readonly tenant: string; readonly jobs: T[]; start: number } | undefined
    for (const [tenant, { jobs, start }] of this.#waiting)
      if ((next === undefined || start < next.start) && mayTake(tenant)) next = { tenant, jobs, start }
    if (next === undefined) {
      // Nobody is in line: what was taken until now was taken from nobody.
      if (this.#waiting.size === 0) this.#ended.clear()
      return undefined
    }
    const { tenant, jobs, start } = next
    const job = jobs.shift()
    this.#waiting.delete(tenant)
    this.#advance(start)
    if (jobs.length > 0) this.#waiting.set(tenant, { jobs, start: start + 1 })
    else this.#ended.set(tenant, start + 1)
    this.#size--
    return job
  }

  /** A job of the tenant that found nobody in line, and so never was. */
  pass(tenant: string): void {
    const start = this.#startOf(tenant)
    this.#advance(start)
    this.#ended.set(tenant, start + 1)
  }

  #startOf(tenant: string): number {
    return Math.max(this.#now, this.#ended.get(tenant) ?? 0)
  }

  #advance(start: number): void {
    this.#now = start
    for (const [tenant, end] of this.#ended) if (end <= start) this.#ended.delete(tenant)
  }
}
