/** Near names for "no such model" answers: remembered per name and worked out a bounded number of times a second. */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../lib/clock.ts'
import { nearNames } from '../lib/near-names.ts'
import { TokenBucket } from '../lib/token-bucket.ts'

const REMEMBERED = 1000
const PER_SECOND = 20

export class NameHints {
  readonly #names: () => Iterable<string>
  readonly #clock: Clock
  readonly #known = new LRUCache<string, readonly string[]>({ max: REMEMBERED })
  readonly #budget: TokenBucket

  constructor(names: () => Iterable<string>, clock: Clock) {
    this.#names = names
    this.#clock = clock
    this.#budget = new TokenBucket({ perSecond: PER_SECOND, burst: PER_SECOND }, clock.now())
  }

  /** Up to three; none when too many were asked for lately. */
  near(name: string): readonly string[] {
    const known = this.#known.get(name)
    if (known !== undefined) return known
    if (!this.#budget.take(this.#clock.now())) return []
    const near = nearNames(name, this.#names())
    this.#known.set(name, near)
    return near
  }

  /** Names came or went. */
  reset(): void {
    this.#known.clear()
  }
}
