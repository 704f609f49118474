/**
 * Metrics kept by ourselves, as a metric producer that OpenTelemetry's reader collects beside its own instruments. Histograms,
 * because OpenTelemetry cannot observe one; gauges and counters, because its observable ones repeat the last value of a label set
 * for ever, also of a worker that is long dead.
 */
import type { Attributes, HrTime } from '@opentelemetry/api'
import { ValueType } from '@opentelemetry/api'
import { emptyResource } from '@opentelemetry/resources'
import type { CollectionResult, MetricData, MetricDescriptor, MetricProducer } from '@opentelemetry/sdk-metrics'
import { AggregationTemporality, DataPointType } from '@opentelemetry/sdk-metrics'
import type { Family, HistogramCell } from './cells.ts'
import type { LabelValues, MetricRow } from './metric-table.ts'

/** One number now, or one for each set of label values; undefined = nothing to say. */
export type Reading<L extends string> = number | undefined | Iterable<readonly [labels: LabelValues<L>, value: number]>

/** Reads a metric when somebody scrapes. */
export type Reader<L extends string> = () => Reading<L> | Promise<Reading<L>>

/** Prometheus' text has no times of its own: the scraper's clock counts. */
const UNTIMED: { readonly startTime: HrTime; readonly endTime: HrTime } = { startTime: [0, 0], endTime: [0, 0] }

export class OwnMetrics implements MetricProducer {
  readonly #sources: (() => Promise<MetricData>)[] = []

  addHistogram(name: string, row: MetricRow, family: Family<string, HistogramCell>): void {
    const descriptor = describe(name, row)
    this.#sources.push(async () => ({
      descriptor,
      aggregationTemporality: AggregationTemporality.CUMULATIVE,
      dataPointType: DataPointType.HISTOGRAM,
      dataPoints: Array.from(family.entries(), ({ labels, cell: { bounds, counts, count, sum } }) => ({
        ...UNTIMED,
        attributes: labels,
        value: { buckets: { boundaries: [...bounds], counts: [...counts] }, sum, count },
      })),
    }))
  }

  addGauge(name: string, row: MetricRow, read: Reader<string>): void {
    const descriptor = describe(name, row)
    this.#sources.push(async () => ({
      descriptor,
      aggregationTemporality: AggregationTemporality.CUMULATIVE,
      dataPointType: DataPointType.GAUGE,
      dataPoints: Array.from(samples(await read()), ([attributes, value]) => ({ ...UNTIMED, attributes, value })),
    }))
  }

  addCounter(name: string, row: MetricRow, read: Reader<string>): void {
    const descriptor = describe(name, row)
    this.#sources.push(async () => ({
      descriptor,
      aggregationTemporality: AggregationTemporality.CUMULATIVE,
      dataPointType: DataPointType.SUM,
      isMonotonic: true,
      dataPoints: Array.from(samples(await read()), ([attributes, value]) => ({ ...UNTIMED, attributes, value })),
    }))
  }

  /** Everything now; a source that throws is left out and told of. */
  async collect(): Promise<CollectionResult> {
    const metrics: MetricData[] = []
    const errors: unknown[] = []
    for (const outcome of await Promise.allSettled(this.#sources.map((source) => source()))) {
      if (outcome.status === 'rejected') errors.push(outcome.reason)
      else if (outcome.value.dataPoints.length > 0) metrics.push(outcome.value)
    }
    return {
      resourceMetrics: { resource: emptyResource(), scopeMetrics: [{ scope: { name: 'modelmux' }, metrics }] },
      errors,
    }
  }
}

/** The samples of a reading; a plain number has no labels. */
export function samples<L extends string>(reading: Reading<L>): Iterable<readonly [labels: Attributes, value: number]> {
  if (reading === undefined) return []
  return typeof reading === 'number' ? [[{}, reading]] : reading
}

function describe(name: string, { help, unit }: MetricRow): MetricDescriptor {
  return { name, description: help, unit, valueType: ValueType.DOUBLE }
}
