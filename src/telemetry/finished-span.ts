/**
 * A span made when all of it is known: no tracer, no context that follows asynchronous work, nothing on the request path. It has what
 * OpenTelemetry's exporters read.
 */
import type { Attributes, HrTime, Link, SpanContext, SpanStatus } from '@opentelemetry/api'
import { createTraceState, SpanKind, SpanStatusCode, TraceFlags } from '@opentelemetry/api'
import type { Resource } from '@opentelemetry/resources'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import type { SpanRef } from '../domain/inference.ts'

export interface SpanFacts extends SpanRef {
  readonly name: string
  readonly parentSpanId?: string | undefined
  /** Is the parent another process's? */
  readonly isParentRemote?: boolean
  readonly traceState?: string | undefined
  /** A server span answers a caller; the others are parts of one. */
  readonly isServer?: boolean
  /** Wall time, milliseconds since 1970 with a fraction. */
  readonly startMs: number
  readonly endMs: number
  readonly attributes?: Attributes
  readonly links?: readonly SpanRef[]
  readonly isError?: boolean
  readonly resource: Resource
}

const SCOPE: ReadableSpan['instrumentationScope'] = { name: 'modelmux' }

export function finishedSpan(facts: SpanFacts): ReadableSpan {
  const { name, startMs, endMs, attributes = {}, links = [], resource, parentSpanId } = facts
  const context = contextOf(facts, false, facts.traceState)
  const parent =
    parentSpanId === undefined
      ? undefined
      : contextOf({ traceId: facts.traceId, spanId: parentSpanId }, facts.isParentRemote ?? false, facts.traceState)
  const status: SpanStatus = { code: facts.isError === true ? SpanStatusCode.ERROR : SpanStatusCode.UNSET }
  return {
    name,
    kind: facts.isServer === true ? SpanKind.SERVER : SpanKind.INTERNAL,
    spanContext: () => context,
    ...(parent !== undefined && { parentSpanContext: parent }),
    startTime: hrTime(startMs),
    endTime: hrTime(endMs),
    duration: hrTime(Math.max(0, endMs - startMs)),
    status,
    attributes,
    links: links.map((link): Link => ({ context: contextOf(link, false, undefined) })),
    events: [],
    ended: true,
    resource,
    instrumentationScope: SCOPE,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  }
}

/** Seconds and nanoseconds. */
export function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000)
  return [seconds, Math.min(999_999_999, Math.round((ms - seconds * 1000) * 1e6))]
}

function contextOf({ traceId, spanId }: SpanRef, isRemote: boolean, traceState: string | undefined): SpanContext {
  return {
    traceId,
    spanId,
    traceFlags: TraceFlags.SAMPLED,
    ...(isRemote && { isRemote }),
    ...(traceState !== undefined && { traceState: createTraceState(traceState) }),
  }
}
