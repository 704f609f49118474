/** What is known of a request once it is over: the one thing that metrics and logs are fed with. */
import type { ErrorCode } from '../domain/errors.ts'
import type { CacheOutcome, PhaseTimings } from '../domain/phases.ts'
import type { TraceContext } from './trace-context.ts'

export interface RequestSummary {
  readonly requestId: string
  readonly method: string
  /** URL template, such as `/v2/models/{model}/infer`; `unknown` for a URL that has none. Never the URL itself. */
  readonly route: string
  /** As sent; 499 when the client left before it could be. */
  readonly status: number
  readonly code?: ErrorCode
  readonly model?: string
  readonly version?: string
  readonly cache?: CacheOutcome
  readonly timings?: PhaseTimings
  readonly batchRows?: number
  /** Bytes of the bodies, as they were on the wire. */
  readonly bytesIn: number
  readonly bytesOut: number
  readonly durationMs: number
  /** The trace it belongs to, if it belongs to one. */
  readonly trace?: TraceContext
  /** From the head to the end of the body; known for sampled requests only. */
  readonly receiveMs?: number
  /** What went wrong, with its causes; absent for success. */
  readonly error?: Error
}

/** Takes the summary of every request, once. Must not throw. */
export interface RequestObserver {
  requestDone(summary: RequestSummary): void
}
