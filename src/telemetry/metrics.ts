/**
 * The metrics of the table, with names and labels checked by the compiler. Counters and gauges are observable instruments of
 * OpenTelemetry, histograms (which OpenTelemetry cannot observe) join its reader as a metric producer; a scrape collects all
 * of them and prints Prometheus' text format.
 */
import type { Meter, ObservableResult } from '@opentelemetry/api'
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import { CounterCell, Family, HistogramCell } from './cells.ts'
import { HistogramProducer } from './histogram-producer.ts'
import type { CounterName, GaugeName, HistogramName, LabelOf, LabelValues, MetricName } from './metric-table.ts'
import { METRICS } from './metric-table.ts'

/** One number now, or one for each set of label values; undefined = nothing to say yet. */
export type Reading<L extends string> = number | undefined | Iterable<readonly [labels: LabelValues<L>, value: number]>

export type CounterFamily<N extends CounterName> = Family<LabelOf<N>, CounterCell>
export type HistogramFamily<N extends HistogramName> = Family<LabelOf<N>, HistogramCell>

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

export interface MetricsOptions {
  /** Told of every gauge whose reader threw; the others are printed all the same. */
  readonly onReadError: (error: unknown) => void
}

export class Metrics {
  readonly #options: MetricsOptions
  readonly #families = new Map<MetricName, unknown>()
  readonly #observed = new Set<MetricName>()
  readonly #histograms = new HistogramProducer()
  readonly #reader = new PrometheusExporter({ preventServerStart: true, metricProducers: [this.#histograms] })
  readonly #provider = new MeterProvider({ readers: [this.#reader] })
  readonly #meter: Meter = this.#provider.getMeter('modelmux')
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
      this.#histograms.add(name, METRICS[name], family)
      return family
    })
  }

  /** Reads a gauge, or a counter kept elsewhere, at each scrape. Once for each name. */
  observe<N extends GaugeName | CounterName>(
    name: N,
    read: () => Reading<LabelOf<N>> | Promise<Reading<LabelOf<N>>>,
  ): void {
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
    return `${this.#serializer.serialize(resourceMetrics)}\n`
  }

  #family<F>(name: MetricName, create: () => F): F {
    const known = this.#families.get(name)
    // The map holds what `create` made for this very name before.
    if (known !== undefined) return known as F
    const family = create()
    this.#families.set(name, family)
    return family
  }

  #observe<L extends string>(name: MetricName, read: () => Reading<L> | Promise<Reading<L>>): void {
    if (this.#observed.has(name)) throw new Error(`the metric ${name} has a reader already`)
    this.#observed.add(name)
    const { type, unit, help } = METRICS[name]
    const options = { unit, description: help }
    const instrument =
      type === 'counter'
        ? this.#meter.createObservableCounter(name, options)
        : this.#meter.createObservableGauge(name, options)
    instrument.addCallback(async (result) => report(result, await read()))
  }
}

function report<L extends string>(result: ObservableResult, reading: Reading<L>): void {
  if (reading === undefined) return
  if (typeof reading === 'number') {
    result.observe(reading)
    return
  }
  for (const [labels, value] of reading) result.observe(value, labels)
}
