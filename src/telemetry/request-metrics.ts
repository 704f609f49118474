/** The metrics of requests, from their summaries. Runs once a request on the main thread: cells are found once and kept. */
import { ERRORS } from '../domain/errors.ts'
import type { PhaseTimings } from '../domain/phases.ts'
import { PHASES } from '../domain/phases.ts'
import type { CounterCell, HistogramCell } from './cells.ts'
import type { CounterFamily, HistogramFamily, Metrics } from './metrics.ts'
import type { RequestObserver, RequestSummary } from './request-summary.ts'

/** Cells of one route: its duration, and its successes, which are nearly all of its requests. */
interface RouteCells {
  readonly duration: HistogramCell
  readonly ok: CounterCell
}

export class RequestMetrics implements RequestObserver {
  readonly #requests: CounterFamily<'modelmux_requests_total'>
  readonly #durations: HistogramFamily<'modelmux_request_duration_seconds'>
  readonly #phases: readonly HistogramCell[]
  readonly #outcomes: CounterFamily<'modelmux_cache_outcomes_total'>
  readonly #against: CounterFamily<'modelmux_errors_counted_total'>
  readonly #bytesIn: CounterCell
  readonly #bytesOut: CounterCell
  readonly #batchRows: HistogramCell
  readonly #routes = new Map<string, RouteCells>()

  constructor(metrics: Metrics) {
    this.#requests = metrics.counter('modelmux_requests_total')
    this.#durations = metrics.histogram('modelmux_request_duration_seconds')
    const phases = metrics.histogram('modelmux_phase_duration_seconds')
    this.#phases = PHASES.map((phase) => phases.with({ phase }))
    this.#outcomes = metrics.counter('modelmux_cache_outcomes_total')
    this.#against = metrics.counter('modelmux_errors_counted_total')
    this.#bytesIn = metrics.counter('modelmux_request_bytes_total').with({})
    this.#bytesOut = metrics.counter('modelmux_response_bytes_total').with({})
    this.#batchRows = metrics.histogram('modelmux_batch_rows').with({})
  }

  requestDone(summary: RequestSummary): void {
    const { route, status, code } = summary
    const cells = this.#cellsOf(route)
    if (status === 200) cells.ok.add()
    else this.#requests.with({ route, status: String(status), code: code ?? '' }).add()
    cells.duration.observe(summary.durationMs / 1000)
    this.#bytesIn.add(summary.bytesIn)
    this.#bytesOut.add(summary.bytesOut)
    if (summary.timings !== undefined) this.#observePhases(summary.timings)
    if (summary.cache !== undefined) this.#outcomes.with({ outcome: summary.cache }).add()
    if (summary.batchRows !== undefined) this.#batchRows.observe(summary.batchRows)
    if (code !== undefined) this.#against.with({ against: ERRORS[code].countsAgainst }).add()
  }

  #observePhases(timings: PhaseTimings): void {
    for (let i = 0; i < PHASES.length; i++) {
      const phase = PHASES[i]
      const ms = phase === undefined ? undefined : timings[phase]
      if (ms !== undefined) this.#phases[i]?.observe(ms / 1000)
    }
  }

  #cellsOf(route: string): RouteCells {
    const known = this.#routes.get(route)
    if (known !== undefined) return known
    const cells = {
      duration: this.#durations.with({ route }),
      ok: this.#requests.with({ route, status: '200', code: '' }),
    }
    this.#routes.set(route, cells)
    return cells
  }
}
