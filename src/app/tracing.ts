/** Tracing put together from the configuration. Its library is loaded only where spans are exported. */
import { resourceFromAttributes } from '@opentelemetry/resources'
import type { Config } from '../config/schema.ts'
import type { Clock } from '../lib/clock.ts'
import { LoadSpans } from '../telemetry/load-spans.ts'
import type { EventLog } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { RequestSpans } from '../telemetry/request-spans.ts'
import { SpanQueue } from '../telemetry/span-queue.ts'
import { version } from './version.ts'

export interface Tracing {
  readonly requests: RequestSpans
  readonly loads: LoadSpans
  /** Sends what waits, within a bound. */
  close(): Promise<void>
}

export interface TracingDeps {
  readonly clock: Clock
  readonly log: EventLog
  readonly metrics: Metrics
  /** Of this server, in every span. */
  readonly replica: string
  /** Uniform in [0, 1). */
  readonly random: () => number
}

/** A collector that does not answer holds the end of a server up for so long. */
const CLOSE_MS = 2000

/** Undefined when the configuration names no collector. */
export async function startTracing(
  { endpoint, sample, timeoutMs, maxQueued }: Config['telemetry']['traces'],
  { clock, log, metrics, replica, random }: TracingDeps,
): Promise<Tracing | undefined> {
  const dropped = metrics.counter('modelmux_spans_dropped_total')
  if (endpoint === null) return undefined
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-proto')
  const resource = resourceFromAttributes({
    'service.name': 'modelmux',
    'service.version': version,
    'service.instance.id': replica,
  })
  const queue = new SpanQueue({
    sink: new OTLPTraceExporter({ url: endpoint, timeoutMillis: timeoutMs }),
    clock,
    log,
    maxQueued,
    onDropped: (spans, reason) => dropped.with({ reason }).add(spans),
  })
  return {
    requests: new RequestSpans(queue, clock, resource),
    loads: new LoadSpans({ queue, clock, resource, sample, random }),
    close: () => queue.close(CLOSE_MS),
  }
}
