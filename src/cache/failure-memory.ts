/**
 * Loads that failed, so that a broken model is not loaded again for each request: a bounded memory of failed entries.
 * A passing failure blocks until its back-off ends; one that lies in the bytes blocks as long as it is remembered, because
 * other bytes have another key.
 */
import { LRUCache } from 'lru-cache'
import type { ErrorCode } from '../domain/errors.ts'
import { ERRORS, GatewayError } from '../domain/errors.ts'
import type { BackoffOptions } from '../lib/backoff.ts'
import { backoffMs } from '../lib/backoff.ts'
import type { Entry } from './entry.ts'

/** The same bytes under the same budget fail again. */
const PERMANENT: ReadonlySet<ErrorCode> = new Set(['ARTIFACT_INVALID', 'MODEL_TOO_LARGE', 'UNSUPPORTED'])
/** These say something about the moment or the caller, not about the load: the next request may try at once. */
const NOT_REMEMBERED: ReadonlySet<ErrorCode> = new Set([
  'CAPACITY_EXHAUSTED',
  'OVERLOADED',
  'DRAINING',
  'CLIENT_GONE',
  'MODEL_LOADING',
])

export interface FailureMemoryOptions extends BackoffOptions {
  /** Failed entries remembered; the least recently asked for are forgotten first. */
  readonly maxEntries: number
  /** In [0, 1). */
  readonly random: () => number
}

export class FailureMemory {
  readonly #options: FailureMemoryOptions
  readonly #entries: LRUCache<string, Entry>

  constructor(options: FailureMemoryOptions) {
    this.#options = options
    this.#entries = new LRUCache({ max: options.maxEntries })
  }

  /** Monotonic time from which the load may be tried again after its failure number `attempt`. */
  retryAt(error: GatewayError, attempt: number, now: number): number {
    if (PERMANENT.has(error.code)) return Number.POSITIVE_INFINITY
    if (NOT_REMEMBERED.has(error.code)) return now
    const asked = error.facts.retryAfterMs ?? 0
    return now + Math.max(asked, backoffMs(attempt, this.#options, this.#options.random))
  }

  /** Keeps an entry that has just become `failed`, unless its failure says nothing about the next try. */
  remember(entry: Entry): void {
    if (entry.status.s !== 'failed') throw new Error(`entry ${entry.key} has not failed`)
    if (entry.status.retryAt > entry.since) this.#entries.set(entry.key, entry)
  }

  get(key: string): Entry | undefined {
    return this.#entries.peek(key)
  }

  /** The answer to a request while the back-off lasts; undefined when a load may be tried. */
  refusal(key: string, now: number): GatewayError | undefined {
    const status = this.#entries.get(key)?.status
    if (status?.s !== 'failed' || now >= status.retryAt) return undefined
    const { error, retryAt } = status
    if (retryAt === Number.POSITIVE_INFINITY) return error
    const retryAfterMs = Math.ceil(retryAt - now)
    return new GatewayError(
      // What lies behind us keeps its name; what went wrong in here is none of the caller's words.
      ERRORS[error.code].source === 'upstream' ? error.code : 'MODEL_LOAD_FAILED',
      `the load of the model failed and is tried again in ${retryAfterMs} ms at the earliest: ${error.message}`,
      { ...error.facts, retryAfterMs, details: { ...error.facts.details, cause: error.code } },
      { cause: error },
    )
  }

  /** Number of the next attempt: 1 when nothing is remembered, or the last failure is long past. */
  nextAttempt(key: string, now: number): number {
    const entry = this.#entries.peek(key)
    if (entry?.status.s !== 'failed' || now - entry.status.retryAt > this.#options.maxMs) return 1
    return entry.attempt + 1
  }

  forget(key: string): void {
    this.#entries.delete(key)
  }

  entries(): Iterable<Entry> {
    return this.#entries.values()
  }
}
