/**
 * Ready entries, least recently used first, and the pins. Pinned entries are not in the order, and leased ones stay where they
 * were until they are used no more: few are leased at a time, so finding victims costs as many steps as there are victims, not
 * as there are entries. Taking an entry out for each lease would cost more: lru-cache clears all it ever allocated when its
 * last entry is deleted.
 */
import { LRUCache } from 'lru-cache'
import type { Entry } from './entry.ts'
import type { EvictionCandidate } from './eviction-policy.ts'

/** `isYoung`: it may not be evicted yet. */
export interface RestingCandidate extends EvictionCandidate {
  readonly isYoung: boolean
}

export interface EvictionOrderOptions {
  readonly maxEntries: number
  /** An entry is not evicted sooner than this after it became ready. */
  readonly minResidencyMs: number
  /** Work that is queued for a key without a lease keeps it too. */
  readonly hasWork: (key: string) => boolean
}

export class EvictionOrder {
  readonly #options: EvictionOrderOptions
  readonly #resting: LRUCache<string, Entry>
  readonly #pinned = new Set<string>()

  constructor(options: EvictionOrderOptions) {
    this.#options = options
    this.#resting = new LRUCache({ max: options.maxEntries })
  }

  /** A ready entry whose use has ended becomes the most recently used one; nothing for a pinned one. */
  rest(entry: Entry): void {
    if (!this.#pinned.has(entry.key)) this.#resting.set(entry.key, entry)
  }

  /** The entry is no longer ready. */
  remove(key: string): void {
    this.#resting.delete(key)
  }

  pin(key: string): void {
    this.#pinned.add(key)
    this.#resting.delete(key)
  }

  /** `entry`: the key's entry where it is ready and unused. */
  unpin(key: string, entry?: Entry): void {
    if (this.#pinned.delete(key) && entry !== undefined) this.rest(entry)
  }

  isPinned(key: string): boolean {
    return this.#pinned.has(key)
  }

  /** Least recently used first: who may be evicted now, and who may within `waitMs`. */
  *candidates(now: number, waitMs: number): Iterable<RestingCandidate> {
    const { minResidencyMs, hasWork } = this.#options
    for (const entry of this.#resting.rvalues()) {
      if (entry?.status.s !== 'ready') continue
      const { key, status } = entry
      const { readyAt, lastUsedAt, uses, past, loadMs, leases } = status.residency
      const leftMs = readyAt + minResidencyMs - now
      if (leases > 0 || leftMs > waitMs || hasWork(key)) continue
      yield { key, knownSince: past.since, lastUsedAt, uses: past.uses + uses, loadMs, isYoung: leftMs > 0 }
    }
  }

  /** Milliseconds until the first of the resting entries is old enough to be evicted; undefined when none is too young. */
  soonestMs(now: number): number | undefined {
    let soonest: number | undefined
    for (const entry of this.#resting.rvalues()) {
      if (entry?.status.s !== 'ready' || entry.status.residency.leases > 0) continue
      const left = entry.status.residency.readyAt + this.#options.minResidencyMs - now
      if (left > 0 && (soonest === undefined || left < soonest)) soonest = left
    }
    return soonest
  }
}
