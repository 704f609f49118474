/** Requests inside a replica, waiting or running, with the bytes they hold: in all, by tenant, by model. */
import type { Held, Occupation } from './admission.ts'

interface Tally {
  requests: number
  bytes: number
}

const NONE: Held = { requests: 0, bytes: 0 }

export class Occupancy {
  readonly #total: Tally = { requests: 0, bytes: 0 }
  readonly #byTenant = new Map<string, Tally>()
  readonly #byModel = new Map<string, Tally>()

  get total(): Held {
    return this.#total
  }

  of(tenant: string, key: string): Occupation {
    return {
      total: this.#total,
      tenant: this.#byTenant.get(tenant) ?? NONE,
      model: this.#byModel.get(key) ?? NONE,
    }
  }

  /** Counts an admitted request. @returns how it leaves; idempotent */
  enter(tenant: string, key: string, bytes: number): () => void {
    let isInside = true
    this.#count(tenant, key, 1, bytes)
    return () => {
      if (isInside) this.#count(tenant, key, -1, -bytes)
      isInside = false
    }
  }

  #count(tenant: string, key: string, requests: number, bytes: number): void {
    this.#total.requests += requests
    this.#total.bytes += bytes
    add(this.#byTenant, tenant, requests, bytes)
    add(this.#byModel, key, requests, bytes)
  }
}

function add(tallies: Map<string, Tally>, name: string, requests: number, bytes: number): void {
  const tally = tallies.get(name)
  if (tally === undefined) tallies.set(name, { requests, bytes })
  else if (tally.requests + requests === 0) tallies.delete(name)
  else {
    tally.requests += requests
    tally.bytes += bytes
  }
}
