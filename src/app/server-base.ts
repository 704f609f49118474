import type { Config } from '../config/schema.ts'
import type { Clock } from '../lib/clock.ts'
import type { Activities } from '../telemetry/activity.ts'
import type { Journal } from '../telemetry/journal.ts'
import type { LineLog } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { ModelMetrics } from '../telemetry/model-metrics.ts'
import type { Teardown } from './teardown.ts'

/** What every part of one server is given. */
export interface ServerBase {
  readonly config: Config
  readonly clock: Clock
  readonly log: LineLog
  readonly journal: Journal
  readonly activities: Activities
  /** Absent = no metrics by model. */
  readonly modelMetrics: ModelMetrics | undefined
  readonly metrics: Metrics
  readonly teardown: Teardown
}
