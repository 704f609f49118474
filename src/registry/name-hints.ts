/** Near names for "no such model" answers: remembered per name and worked out a bounded number of times a second. */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../lib/clock.ts'
import { nearNames } from '../lib/near-names.ts'

const REMEMBERED = 1000
const PER_SECOND = 20

export class NameHints {
  readonly #names: () => Iterable<string>
  readonly #clock: Clock
  readonly #known = new LRUCache<string, readonly string[]>({ max: REMEMBERED })
  #second = -1
  #used = 0

  constructor(names: () => Iterable<string>, clock: Clock) {
    this.#names = names
    this.#clock = clock
  }

  /** Up to three; none when too many were asked for lately. */
  near(name: string): readonly string[] {
    const known = this.#known.get(name)
    if (known !== undefined) return known
    const second = Math.floor(this.#clock.now() / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#used = 0
    }
    if (this.#used >= PER_SECOND) return []
    this.#used++
    const near = nearNames(name, this.#names())
    this.#known.set(name, near)
    return near
  }

  /** Names came or went. */
  reset(): void {
    this.#known.clear()
  }
}
