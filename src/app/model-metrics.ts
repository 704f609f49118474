/** The metrics by model, read at each scrape. */
import type { Clock } from '../lib/clock.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { ModelSums } from '../telemetry/model-metrics.ts'
import { ModelMetrics } from '../telemetry/model-metrics.ts'

/** For at most `max` models. Undefined for none. */
export function observeModels(metrics: Metrics, max: number, clock: Clock): ModelMetrics | undefined {
  if (max === 0) return undefined
  const models = new ModelMetrics({ max, clock })
  const read = (sumOf: (sums: ModelSums) => number) => () =>
    models.read().map(([model, sums]) => [{ model }, sumOf(sums)] as const)
  metrics.observe(
    'modelmux_model_requests_total',
    read(({ requests }) => requests),
  )
  metrics.observe(
    'modelmux_model_errors_total',
    read(({ errors }) => errors),
  )
  metrics.observe(
    'modelmux_model_request_seconds_total',
    read(({ seconds }) => seconds),
  )
  metrics.observe(
    'modelmux_model_cold_starts_total',
    read(({ coldStarts }) => coldStarts),
  )
  return models
}
