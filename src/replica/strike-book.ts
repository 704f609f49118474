/**
 * Strikes by ModelKey, and when they are enough to refuse the key. Pure: time comes in with every question. A body that has struck is
 * known until its strike is too old to count, so that a client that sends it again and again costs no second worker.
 */
import { LRUCache } from 'lru-cache'
import type { Strike } from '../domain/quarantine.ts'

export interface StrikeRules {
  /** Strikes that quarantine a key, */
  readonly strikes: number
  /** when they lie within so many milliseconds. */
  readonly windowMs: number
}

interface Noted {
  readonly strike: Strike
  /** Monotonic. */
  readonly notedAt: number
  /** Of the body that struck; 0 = none. */
  readonly bodyBytes: number
}

/** Keys with strikes; the least recently struck are forgotten first. */
const MAX_KEYS = 10_000

export class StrikeBook {
  readonly #rules: StrikeRules
  readonly #noted = new LRUCache<string, readonly Noted[]>({ max: MAX_KEYS })

  constructor(rules: StrikeRules) {
    this.#rules = rules
  }

  /** @returns the strikes that count by now, this one included; what repeats an earlier one does not count again */
  note(key: string, strike: Strike, now: number, bodyBytes = 0): readonly Strike[] {
    const counting = this.#counting(key, now)
    const isRepeat = strike.body !== undefined && counting.some((noted) => noted.strike.body === strike.body)
    const next = isRepeat ? counting : [...counting, { strike, notedAt: now, bodyBytes }]
    this.#noted.set(key, next)
    return next.map((noted) => noted.strike)
  }

  isEnough(strikes: readonly Strike[]): boolean {
    return strikes.length >= this.#rules.strikes
  }

  /** The strike of this very body, if it counts. `digest` is asked only when a body of as many bytes has struck. */
  strikeOf(key: string, bodyBytes: number, now: number, digest: () => string): Strike | undefined {
    // Nearly always nothing is noted of anyone.
    if (this.#noted.size === 0 || !this.#noted.has(key)) return undefined
    const alike = this.#counting(key, now).filter(
      (noted) => noted.strike.body !== undefined && noted.bodyBytes === bodyBytes,
    )
    if (alike.length === 0) return undefined
    const wanted = digest()
    return alike.find((noted) => noted.strike.body === wanted)?.strike
  }

  forget(key: string): void {
    this.#noted.delete(key)
  }

  #counting(key: string, now: number): readonly Noted[] {
    return (this.#noted.peek(key) ?? []).filter(({ notedAt }) => now - notedAt <= this.#rules.windowMs)
  }
}
