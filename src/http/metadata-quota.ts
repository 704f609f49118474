/**
 * How often one address may ask for the metadata of models: an answer may walk through a model file that was never compiled.
 * Addresses are remembered up to a bound; the one that was quiet longest is forgotten first, and starts again with a full bucket.
 */
import { LRUCache } from 'lru-cache'
import { GatewayError } from '../domain/errors.ts'
import type { Clock } from '../lib/clock.ts'
import { TokenBucket } from '../lib/token-bucket.ts'

const REMEMBERED_ADDRESSES = 10_000
/** Seconds' worth of requests that may come at once. */
const BURST_SECONDS = 2

export class MetadataQuota {
  readonly #clock: Clock
  readonly #perSecond: number
  readonly #buckets = new LRUCache<string, TokenBucket>({ max: REMEMBERED_ADDRESSES })

  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock
    this.#perSecond = perSecond
  }

  /** @throws GatewayError QUOTA_EXCEEDED with the time until the next one is allowed */
  spend(address: string): void {
    const now = this.#clock.now()
    const bucket = this.#bucketOf(address, now)
    if (bucket.take(now)) return
    throw new GatewayError(
      'QUOTA_EXCEEDED',
      `metadata is given ${this.#perSecond} times a second to one address; ask less often, or keep the answer`,
      { retryAfterMs: bucket.waitMs(now) },
    )
  }

  #bucketOf(address: string, now: number): TokenBucket {
    const known = this.#buckets.get(address)
    if (known !== undefined) return known
    const burst = Math.max(1, this.#perSecond * BURST_SECONDS)
    const bucket = new TokenBucket({ perSecond: this.#perSecond, burst }, now)
    this.#buckets.set(address, bucket)
    return bucket
  }
}
