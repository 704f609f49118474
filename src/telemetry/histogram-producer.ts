/** Histograms kept in our own cells, as a metric producer that OpenTelemetry's reader collects beside its own instruments. */

import type { HrTime } from '@opentelemetry/api'
import { ValueType } from '@opentelemetry/api'
import { emptyResource } from '@opentelemetry/resources'
import type { CollectionResult, HistogramMetricData, MetricProducer } from '@opentelemetry/sdk-metrics'
import { AggregationTemporality, DataPointType } from '@opentelemetry/sdk-metrics'
import type { Family, HistogramCell } from './cells.ts'
import type { MetricRow } from './metric-table.ts'

/** Prometheus' text has no times of its own: the scraper's clock counts. */
const NO_TIME: HrTime = [0, 0]

interface Source {
  readonly name: string
  readonly row: MetricRow
  readonly family: Family<string, HistogramCell>
}

export class HistogramProducer implements MetricProducer {
  readonly #sources: Source[] = []

  add(name: string, row: MetricRow, family: Family<string, HistogramCell>): void {
    this.#sources.push({ name, row, family })
  }

  collect(): Promise<CollectionResult> {
    const metrics = this.#sources.map(metricData)
    const scopeMetrics = [{ scope: { name: 'modelmux' }, metrics }]
    return Promise.resolve({ resourceMetrics: { resource: emptyResource(), scopeMetrics }, errors: [] })
  }
}

function metricData({ name, row, family }: Source): HistogramMetricData {
  return {
    descriptor: { name, description: row.help, unit: row.unit, valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPointType: DataPointType.HISTOGRAM,
    dataPoints: Array.from(family.entries(), ({ labels, cell }) => ({
      startTime: NO_TIME,
      endTime: NO_TIME,
      attributes: labels,
      value: {
        buckets: { boundaries: [...cell.bounds], counts: [...cell.counts] },
        sum: cell.sum,
        count: cell.count,
      },
    })),
  }
}
