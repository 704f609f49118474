/** Jobs in order of arrival within a tenant, and in turns among tenants: one that brings a thousand models delays the others by one. */
export class TenantQueue<T> {
  /** A tenant's turn comes in the map's order; taking one moves it to the end. */
  readonly #jobs = new Map<string, T[]>()
  #size = 0

  get size(): number {
    return this.#size
  }

  push(tenant: string, job: T): void {
    const jobs = this.#jobs.get(tenant)
    if (jobs === undefined) this.#jobs.set(tenant, [job])
    else jobs.push(job)
    this.#size++
  }

  /** The next job, or undefined when there is none. */
  shift(): T | undefined {
    for (const [tenant, jobs] of this.#jobs) {
      const job = jobs.shift()
      this.#jobs.delete(tenant)
      if (jobs.length > 0) this.#jobs.set(tenant, jobs)
      this.#size--
      return job
    }
    return undefined
  }
}
