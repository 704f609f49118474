/**
 * A server span for each sampled inference, with a child for each phase it went through, made from its summary. Phases are known by
 * their durations. Those of a load are laid from the moment the body was there, those from the queue on back from the answer; what
 * lies between is waiting that nobody measured by name.
 *
 *   |receive|fetch|compile|page|  ...  |queue|open|decode|run|encode|
 */
import type { Attributes } from '@opentelemetry/api'
import type { Resource } from '@opentelemetry/resources'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import type { Phase, PhaseTimings } from '../domain/phases.ts'
import { PHASES } from '../domain/phases.ts'
import type { Clock } from '../lib/clock.ts'
import { finishedSpan } from './finished-span.ts'
import type { RequestObserver, RequestSummary } from './request-summary.ts'
import type { SpanQueue } from './span-queue.ts'
import type { TraceContext } from './trace-context.ts'
import { newSpanId } from './trace-context.ts'

/** The first phase of those that end with the answer. */
const FIRST_AT_END: Phase = 'queue'

export class RequestSpans implements RequestObserver {
  readonly #queue: Pick<SpanQueue, 'add'>
  readonly #clock: Clock
  readonly #resource: Resource

  constructor(queue: Pick<SpanQueue, 'add'>, clock: Clock, resource: Resource) {
    this.#queue = queue
    this.#clock = clock
    this.#resource = resource
  }

  requestDone(summary: RequestSummary): void {
    if (summary.trace?.isSampled === true)
      this.#queue.add(requestSpans(summary, summary.trace, this.#clock.wall(), this.#resource))
  }
}

/** `endMs`: wall time of the answer. */
export function requestSpans(
  summary: RequestSummary,
  trace: TraceContext,
  endMs: number,
  resource: Resource,
): ReadableSpan[] {
  const { traceId, spanId, traceState, parentSpanId } = trace
  const startMs = endMs - summary.durationMs
  const server = finishedSpan({
    name: `${summary.method} ${summary.route}`,
    traceId,
    spanId,
    traceState,
    parentSpanId,
    isParentRemote: true,
    isServer: true,
    isError: summary.status >= 500,
    startMs,
    endMs,
    attributes: attributesOf(summary),
    resource,
  })
  const children = layPhases(summary.timings ?? {}, summary.receiveMs, startMs, endMs).map((part) =>
    finishedSpan({ ...part, traceId, spanId: newSpanId(), parentSpanId: spanId, traceState, resource }),
  )
  return [server, ...children]
}

interface Part {
  readonly name: string
  readonly startMs: number
  readonly endMs: number
}

export function layPhases(
  timings: PhaseTimings,
  receiveMs: number | undefined,
  startMs: number,
  endMs: number,
): Part[] {
  const split = PHASES.indexOf(FIRST_AT_END)
  const parts: Part[] = []
  let at = startMs
  const put = (name: string, ms: number | undefined) => {
    if (ms === undefined) return
    parts.push({ name, startMs: at, endMs: Math.min(at + ms, endMs) })
    at = Math.min(at + ms, endMs)
  }
  put('receive', receiveMs)
  for (const phase of PHASES.slice(0, split)) put(phase, timings[phase])
  const last = PHASES.slice(split)
  const lastMs = last.reduce((sum, phase) => sum + (timings[phase] ?? 0), 0)
  at = Math.max(at, endMs - lastMs)
  for (const phase of last) put(phase, timings[phase])
  return parts
}

/** Names of OpenTelemetry where it has one. Never a URL, a header or a body. */
function attributesOf({
  requestId,
  method,
  route,
  status,
  model,
  version,
  cache,
  batchRows,
  code,
  bytesIn,
  bytesOut,
}: RequestSummary): Attributes {
  return {
    'http.request.method': method,
    'http.route': route,
    'http.response.status_code': status,
    'http.request.body.size': bytesIn,
    'http.response.body.size': bytesOut,
    'url.scheme': 'http',
    'modelmux.request_id': requestId,
    ...(code !== undefined && { 'error.type': code }),
    ...(model !== undefined && { 'gen_ai.request.model': model }),
    ...(version !== undefined && { 'modelmux.model.version': version }),
    ...(cache !== undefined && { 'modelmux.cache': cache }),
    ...(batchRows !== undefined && { 'modelmux.batch.rows': batchRows }),
  }
}
