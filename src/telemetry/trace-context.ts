/**
 * Which trace a request belongs to: read from the caller's `traceparent` and `tracestate`, or begun here (W3C Trace Context). A
 * header that breaks the rules is as good as none, and takes its `tracestate` with it.
 */
import { randomBytes } from 'node:crypto'
import type { SpanRef } from '../domain/inference.ts'

export interface TraceContext extends SpanRef {
  /** The caller's span; absent when the trace begins here. */
  readonly parentSpanId?: string
  /** The caller's, as it came. */
  readonly traceState?: string
  /** Will its spans be exported? */
  readonly isSampled: boolean
}

export interface TraceStarterOptions {
  /** Are spans exported at all? */
  readonly isOn: boolean
  /** Share of traces that begin here and are exported; a caller's own decision counts for its trace. */
  readonly sample: number
  /** Uniform in [0, 1). */
  readonly random: () => number
}

const SAMPLED = 1
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const ZEROS = /^0+$/
const STATE_MEMBER =
  /^[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x21-\x2b\x2d-\x3c\x3e-\x7e]([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,254}[\x21-\x2b\x2d-\x3c\x3e-\x7e])?$/
const MAX_STATE_MEMBERS = 32
const MAX_STATE_LENGTH = 4096

export class TraceStarter {
  readonly #options: TraceStarterOptions

  constructor(options: TraceStarterOptions) {
    this.#options = options
  }

  /** The caller's trace for a request that gets no span of its own. */
  adopt(traceparent: string | string[] | undefined): TraceContext | undefined {
    const parent = typeof traceparent === 'string' ? parseTraceparent(traceparent) : undefined
    return parent === undefined ? undefined : { ...parent, parentSpanId: parent.spanId, isSampled: false }
  }

  /** Undefined when the caller brings no trace and none is begun here. */
  begin(traceparent: string | undefined, tracestate: string | undefined): TraceContext | undefined {
    const { isOn, sample, random } = this.#options
    const parent = traceparent === undefined ? undefined : parseTraceparent(traceparent)
    if (parent !== undefined) {
      const traceState = tracestate === undefined ? undefined : checkedTraceState(tracestate)
      const isSampled = isOn && parent.isSampled
      const { traceId, spanId } = parent
      const own = { traceId, spanId: isSampled ? newSpanId() : spanId, parentSpanId: spanId, isSampled }
      return traceState === undefined ? own : { ...own, traceState }
    }
    if (!isOn || random() >= sample) return undefined
    return { traceId: newTraceId(), spanId: newSpanId(), isSampled: true }
  }
}

/** Undefined for a header that is invalid; of a version that is not known yet, the first four fields count. */
export function parseTraceparent(text: string): (SpanRef & { readonly isSampled: boolean }) | undefined {
  const [, version, traceId = '', spanId = '', flags = '', rest] = TRACEPARENT.exec(text.trim()) ?? []
  if (version === undefined || version === 'ff' || (version === '00' && rest !== undefined)) return undefined
  if (ZEROS.test(traceId) || ZEROS.test(spanId)) return undefined
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & SAMPLED) === SAMPLED }
}

/** Undefined for a list that breaks the rules; empty members are none. */
export function checkedTraceState(text: string): string | undefined {
  if (text.length > MAX_STATE_LENGTH) return undefined
  const members = text
    .split(',')
    .map((member) => member.trim())
    .filter((member) => member !== '')
  const keys = new Set(members.map((member) => member.slice(0, member.indexOf('='))))
  const isValid = members.every((member) => STATE_MEMBER.test(member)) && keys.size === members.length
  return isValid && members.length > 0 && members.length <= MAX_STATE_MEMBERS ? members.join(',') : undefined
}

export function newTraceId(): string {
  return randomBytes(16).toString('hex')
}

export function newSpanId(): string {
  return randomBytes(8).toString('hex')
}
