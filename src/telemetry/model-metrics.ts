/**
 * Metrics by model for a bounded number of models: so many have a seat, that is a label of their own, everybody else is `other`. Seats
 * go to who comes first; once a minute, at a scrape, those that were asked for least may lose theirs to others that were asked for
 * more than twice as often. What a seat had counted goes to `other` with it, so sums over all labels never fall; few seats change at
 * a time, so that a monitoring system is not flooded with series; and a model that left the registry leaves no series behind.
 */
import type { Clock } from '../lib/clock.ts'
import type { RequestObserver, RequestSummary } from './request-summary.ts'

export interface ModelMetricsOptions {
  /** Seats; at least one. */
  readonly max: number
  readonly clock: Clock
}

/** Sums of one label. */
export class ModelSums {
  requests = 0
  errors = 0
  /** Of all requests together. */
  seconds = 0
  coldStarts = 0

  add({ status, durationMs, cache }: RequestSummary): void {
    this.requests++
    this.seconds += durationMs / 1000
    if (status >= 400 && status !== 499) this.errors++
    if (cache === 'load' || cache === 'compile') this.coldStarts++
  }

  take({ requests, errors, seconds, coldStarts }: ModelSums): void {
    this.requests += requests
    this.errors += errors
    this.seconds += seconds
    this.coldStarts += coldStarts
  }
}

const WINDOW_MS = 60_000
/** A challenger must have been asked for so many times as often. */
const HYSTERESIS = 2
/** Of all seats, at a time. */
const CHANGING_SHARE = 0.1
/** Names without a seat that are counted in one window. */
const MAX_CHALLENGERS = 10_000
const OTHER = 'other'

export class ModelMetrics implements RequestObserver {
  readonly #options: ModelMetricsOptions
  readonly #seats = new Map<string, ModelSums>()
  readonly #other = new ModelSums()
  /** Requests in this window, with and without a seat. */
  readonly #asked = new Map<string, number>()
  #windowSince: number

  constructor(options: ModelMetricsOptions) {
    this.#options = options
    this.#windowSince = options.clock.now()
  }

  requestDone(summary: RequestSummary): void {
    const { model, version, status } = summary
    // Names that nobody knows are the caller's words, not models.
    if (model === undefined || version === undefined || status === 404) return
    const asked = this.#asked.get(model)
    if (asked !== undefined || this.#asked.size < MAX_CHALLENGERS) this.#asked.set(model, (asked ?? 0) + 1)
    this.#seatOf(model).add(summary)
  }

  /** The model left the registry. */
  forget(model: string): void {
    this.#asked.delete(model)
    this.#unseat(model)
  }

  /** Sums by label; may change who has a seat. */
  read(): readonly (readonly [model: string, ModelSums])[] {
    const { clock } = this.#options
    if (clock.now() - this.#windowSince >= WINDOW_MS) this.#changeSeats()
    return [...this.#seats, [OTHER, this.#other]]
  }

  #seatOf(model: string): ModelSums {
    const known = this.#seats.get(model)
    if (known !== undefined) return known
    // A model of that name must not be mistaken for the rest.
    if (this.#seats.size >= this.#options.max || model === OTHER) return this.#other
    const seat = new ModelSums()
    this.#seats.set(model, seat)
    return seat
  }

  #unseat(model: string): void {
    const seat = this.#seats.get(model)
    if (seat === undefined) return
    this.#other.take(seat)
    this.#seats.delete(model)
  }

  #changeSeats(): void {
    const { clock, max } = this.#options
    this.#windowSince = clock.now()
    const askedFor = (model: string) => this.#asked.get(model) ?? 0
    const coldest = [...this.#seats.keys()].sort((a, b) => askedFor(a) - askedFor(b))
    const challengers = [...this.#asked]
      .filter(([model]) => !this.#seats.has(model) && model !== OTHER)
      .sort(([, a], [, b]) => b - a)
    const changes = Math.max(1, Math.floor(max * CHANGING_SHARE))
    for (const [i, [challenger, asked]] of challengers.slice(0, changes).entries()) {
      const loser = coldest[i]
      if (loser === undefined || asked <= HYSTERESIS * Math.max(1, askedFor(loser))) break
      this.#unseat(loser)
      this.#seats.set(challenger, new ModelSums())
    }
    this.#asked.clear()
  }
}
