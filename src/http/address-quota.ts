/**
 * How often one address may ask for what is dear to tell: a walk through a model file that was never compiled, a row for every model.
 * Addresses are remembered up to a bound; the one that was quiet longest is forgotten first, and starts again with a full bucket.
 */
import { LRUCache } from 'lru-cache'
import { GatewayError } from '../domain/errors.ts'
import type { Clock } from '../lib/clock.ts'
import { TokenBucket } from '../lib/token-bucket.ts'

const REMEMBERED_ADDRESSES = 10_000
/** Seconds' worth of requests that may come at once. */
const BURST_SECONDS = 2

export interface AddressQuotaOptions {
  /** For one address. */
  readonly perSecond: number
  /** What is asked for, as the refusal says it. */
  readonly of: string
}

export class AddressQuota {
  readonly #clock: Clock
  readonly #options: AddressQuotaOptions
  readonly #buckets = new LRUCache<string, TokenBucket>({ max: REMEMBERED_ADDRESSES })

  constructor(clock: Clock, options: AddressQuotaOptions) {
    this.#clock = clock
    this.#options = options
  }

  /** @throws GatewayError QUOTA_EXCEEDED with the time until the next one is allowed */
  spend(address: string): void {
    const now = this.#clock.now()
    const bucket = this.#bucketOf(address, now)
    if (bucket.take(now)) return
    const { perSecond, of } = this.#options
    throw new GatewayError(
      'QUOTA_EXCEEDED',
      `${of} is given ${perSecond} times a second to one address; ask less often, or keep the answer`,
      { retryAfterMs: bucket.waitMs(now) },
    )
  }

  #bucketOf(address: string, now: number): TokenBucket {
    const known = this.#buckets.get(address)
    if (known !== undefined) return known
    const { perSecond } = this.#options
    const burst = Math.max(1, perSecond * BURST_SECONDS)
    const bucket = new TokenBucket({ perSecond, burst }, now)
    this.#buckets.set(address, bucket)
    return bucket
  }
}
