/**
 * The metrics of the table, with names and labels checked by the compiler. They join OpenTelemetry's reader as a metric producer;
 * a scrape collects all of them and prints Prometheus' text format.
 */
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import { CounterCell, Family, HistogramCell } from './cells.ts'
import type { CounterName, GaugeName, HistogramName, LabelOf, MetricName, MetricRow } from './metric-table.ts'
import { METRICS } from './metric-table.ts'
import type { Reader } from './own-metrics.ts'
import { OwnMetrics } from './own-metrics.ts'

export type { Reader, Reading } from './own-metrics.ts'

export type CounterFamily<N extends CounterName> = Family<LabelOf<N>, CounterCell>
export type HistogramFamily<N extends HistogramName> = Family<LabelOf<N>, HistogramCell>

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

export interface MetricsOptions {
  /** Told of every reader that threw; the other metrics are printed all the same. */
  readonly onReadError: (error: unknown) => void
}

export class Metrics {
  readonly #options: MetricsOptions
  readonly #families = new Map<MetricName, unknown>()
  readonly #observed = new Set<MetricName>()
  readonly #own = new OwnMetrics()
  readonly #reader = new PrometheusExporter({ preventServerStart: true, metricProducers: [this.#own] })
  readonly #provider = new MeterProvider({ readers: [this.#reader] })
  // Without target_info and without scope labels: neither says anything that build_info does not.
  readonly #serializer = new PrometheusSerializer('', false, undefined, true, true)
  #scrape: Promise<string> | undefined

  constructor(options: MetricsOptions) {
    this.#options = options
  }

  /** The counter of this name; the same object each time. */
  counter<N extends CounterName>(name: N): CounterFamily<N> {
    return this.#family(name, () => {
      const family = new Family<LabelOf<N>, CounterCell>(METRICS[name].labels, () => new CounterCell())
      this.#observe(name, () => Array.from(family.entries(), ({ labels, cell }) => [labels, cell.value] as const))
      return family
    })
  }

  /** The histogram of this name; the same object each time. */
  histogram<N extends HistogramName>(name: N): HistogramFamily<N> {
    return this.#family(name, () => {
      const { labels, buckets } = METRICS[name]
      const family = new Family<LabelOf<N>, HistogramCell>(labels, () => new HistogramCell(buckets))
      this.#own.addHistogram(name, METRICS[name], family)
      return family
    })
  }

  /** Reads a gauge, or a counter kept elsewhere, at each scrape. Once for each name. */
  observe<N extends GaugeName | CounterName>(name: N, read: Reader<LabelOf<N>>): void {
    if (this.#families.has(name)) throw new Error(`the metric ${name} is counted here already`)
    this.#observe(name, read)
  }

  /** Prometheus' text of everything now. Scrapes that overlap share one collection. */
  render(): Promise<string> {
    this.#scrape ??= this.#collect().finally(() => {
      this.#scrape = undefined
    })
    return this.#scrape
  }

  async close(): Promise<void> {
    await this.#provider.shutdown()
  }

  async #collect(): Promise<string> {
    const { resourceMetrics, errors } = await this.#reader.collect()
    for (const error of errors) this.#options.onReadError(error)
    return `${this.#serializer.serialize(resourceMetrics).trimEnd()}\n`
  }

  #family<F>(name: MetricName, create: () => F): F {
    const known = this.#families.get(name)
    // The map holds what `create` made for this very name before.
    if (known !== undefined) return known as F
    const family = create()
    this.#families.set(name, family)
    return family
  }

  #observe<L extends string>(name: MetricName, read: Reader<L>): void {
    if (this.#observed.has(name)) throw new Error(`the metric ${name} has a reader already`)
    this.#observed.add(name)
    const row: MetricRow = METRICS[name]
    if (row.type === 'gauge') this.#own.addGauge(name, row, read)
    else this.#own.addCounter(name, row, read)
  }
}
