/**
 * How often models that were evicted had been asked for: one that comes back soon is no stranger, and is not to begin again as one.
 * Bounded; the longest gone are forgotten.
 */
import { LRUCache } from 'lru-cache'

export interface PastUse {
  /** When the key first became ready, as far back as is known. */
  readonly since: number
  readonly uses: number
}

export class PastUses {
  readonly #byKey: LRUCache<string, PastUse>

  constructor(maxKeys: number) {
    this.#byKey = new LRUCache({ max: maxKeys })
  }

  remember(key: string, use: PastUse): void {
    this.#byKey.set(key, use)
  }

  of(key: string): PastUse | undefined {
    return this.#byKey.get(key)
  }
}
