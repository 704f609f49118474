/**
 * Who is busy: for each model version its request rate, latencies, cache outcomes and errors, and the same over all. Fed with every
 * request's summary, so it keeps to a few sums; bounded, the model that was quiet longest is forgotten first.
 */
import { LRUCache } from 'lru-cache'
import type { CacheOutcome } from '../domain/phases.ts'
import type { Clock } from '../lib/clock.ts'
import { Rate } from './rate.ts'
import { RecentLatency } from './recent-latency.ts'
import type { RequestObserver, RequestSummary } from './request-summary.ts'

/** Long enough to be steady, short enough to follow a change within half a minute. */
const HEAT_MS = 15_000
const MAX_MODELS = 10_000

/** Sums over the requests of one model, or of all. */
export class Activity {
  readonly rate = new Rate(HEAT_MS)
  readonly latency = new RecentLatency()
  readonly outcomes: Record<CacheOutcome, number> = { hit: 0, load: 0, compile: 0, wait: 0 }
  requests = 0
  /** Requests that failed, for whatever reason. */
  errors = 0

  add({ status, durationMs, cache }: RequestSummary, now: number): void {
    this.requests++
    this.rate.add(now)
    this.latency.add(durationMs)
    // A client that left got what it wanted: nothing.
    if (status >= 400 && status !== 499) this.errors++
    if (cache !== undefined) this.outcomes[cache]++
  }

  /** Of the requests that were answered, those that found their model open; undefined before the first. */
  get hitRatio(): number | undefined {
    const { hit, load, compile, wait } = this.outcomes
    const sum = hit + load + compile + wait
    return sum === 0 ? undefined : hit / sum
  }
}

export class ModelActivity extends Activity {
  readonly name: string
  readonly version: string

  constructor(name: string, version: string) {
    super()
    this.name = name
    this.version = version
  }
}

export class Activities implements RequestObserver {
  readonly all = new Activity()
  /** Of the last seconds alone, for a ratio that moves. */
  readonly #recentAnswers = new Rate(HEAT_MS)
  readonly #recentHits = new Rate(HEAT_MS)
  readonly #clock: Clock
  readonly #models = new LRUCache<string, ModelActivity>({ max: MAX_MODELS })

  constructor(clock: Clock) {
    this.#clock = clock
  }

  requestDone(summary: RequestSummary): void {
    const { model, version, status, cache } = summary
    // Names that nobody knows are the caller's words, not models.
    if (model === undefined || version === undefined || status === 404) return
    const now = this.#clock.now()
    this.all.add(summary, now)
    this.#of(model, version).add(summary, now)
    if (cache === undefined) return
    this.#recentAnswers.add(now)
    if (cache === 'hit') this.#recentHits.add(now)
  }

  get(name: string, version: string): ModelActivity | undefined {
    return this.#models.peek(`${name}:${version}`)
  }

  models(): Iterable<ModelActivity> {
    return this.#models.values()
  }

  /** Share of hits in the last seconds; undefined when nothing was answered. */
  recentHitRatio(): number | undefined {
    const now = this.#clock.now()
    const answers = this.#recentAnswers.perSecond(now)
    return answers < 1e-6 ? undefined : this.#recentHits.perSecond(now) / answers
  }

  #of(name: string, version: string): ModelActivity {
    const key = `${name}:${version}`
    const known = this.#models.get(key)
    if (known !== undefined) return known
    const activity = new ModelActivity(name, version)
    this.#models.set(key, activity)
    return activity
  }
}
