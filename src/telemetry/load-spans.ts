/**
 * A span for each load, in a trace of its own, linked to the requests that waited for it: a load belongs to the cache, and one may
 * serve many. Loads that no sampled request waited for are sampled as requests are.
 */
import type { Resource } from '@opentelemetry/resources'
import { LRUCache } from 'lru-cache'
import type { ErrorCode } from '../domain/errors.ts'
import type { SpanRef } from '../domain/inference.ts'
import type { PhaseTimings } from '../domain/phases.ts'
import type { Clock } from '../lib/clock.ts'
import { finishedSpan } from './finished-span.ts'
import { layPhases } from './request-spans.ts'
import type { SpanQueue } from './span-queue.ts'
import { newSpanId, newTraceId } from './trace-context.ts'

export interface LoadSpansOptions {
  readonly queue: Pick<SpanQueue, 'add'>
  readonly clock: Clock
  readonly resource: Resource
  /** Share of loads that nobody waited for. */
  readonly sample: number
  /** Uniform in [0, 1). */
  readonly random: () => number
}

export interface EndedLoad {
  readonly key: string
  readonly model: string
  readonly version: string
  readonly timings: PhaseTimings
  readonly code?: ErrorCode | undefined
}

interface Waited {
  /** Monotonic time of the first wait. */
  readonly since: number
  readonly links: SpanRef[]
}

/** A request may leave before its load begins: what is never asked about again must not stay. */
const MAX_KEYS = 1000
const MAX_LINKS = 128

export class LoadSpans {
  readonly #options: LoadSpansOptions
  readonly #waited = new LRUCache<string, Waited>({ max: MAX_KEYS })

  constructor(options: LoadSpansOptions) {
    this.#options = options
  }

  /** A sampled request waits for a load of `key`. */
  waits(key: string, span: SpanRef): void {
    const waited = this.#waited.get(key)
    if (waited === undefined) this.#waited.set(key, { since: this.#options.clock.now(), links: [span] })
    else if (waited.links.length < MAX_LINKS) waited.links.push(span)
  }

  ended({ key, model, version, timings, code }: EndedLoad): void {
    const { queue, clock, resource, sample, random } = this.#options
    const waited = this.#waited.get(key)
    this.#waited.delete(key)
    if (waited === undefined && random() >= sample) return
    const measuredMs = Object.values(timings).reduce((sum, ms) => sum + ms, 0)
    const endMs = clock.wall()
    const startMs = endMs - Math.max(measuredMs, waited === undefined ? 0 : clock.now() - waited.since)
    const traceId = newTraceId()
    const spanId = newSpanId()
    const attributes = {
      'gen_ai.request.model': model,
      'modelmux.model.version': version,
      ...(code !== undefined && { 'error.type': code }),
    }
    const load = finishedSpan({
      name: 'load',
      traceId,
      spanId,
      startMs,
      endMs,
      attributes,
      links: waited?.links ?? [],
      isError: code !== undefined,
      resource,
    })
    const parts = layPhases(timings, undefined, startMs, endMs).map((part) =>
      finishedSpan({ ...part, traceId, spanId: newSpanId(), parentSpanId: spanId, resource }),
    )
    queue.add([load, ...parts])
  }
}
