/** Errors as answers. Clients of the protocol read a top-level string `error` and nothing else; the members beside it are ours. */
import type { GatewayError } from '../domain/errors.ts'
import { ERRORS } from '../domain/errors.ts'

/** Longest wait that is recommended: a load that takes longer is worth asking about in between. */
const MAX_RETRY_AFTER_S = 30
const DEFAULT_RETRY_AFTER_MS = 1000
/** Callers refused together should not come back together. */
const JITTER = 0.25

export interface ErrorContext {
  readonly requestId: string
  /** Of the caller's trace, or of one begun for the request. */
  readonly traceId?: string | undefined
  /** As far as known; the error's own facts come first. */
  readonly model?: string
  readonly version?: string
}

/** `{ error, code, request_id, trace_id?, model?, version?, ...details }`; a detail never hides one of the named members. */
export function errorBody(
  { code, message, facts }: GatewayError,
  context: ErrorContext,
): Record<string, string | number | boolean> {
  const model = facts.model ?? context.model
  const version = facts.version ?? context.version
  const named = {
    error: message,
    code,
    request_id: context.requestId,
    ...(context.traceId === undefined ? {} : { trace_id: context.traceId }),
    ...(model === undefined ? {} : { model }),
    ...(version === undefined ? {} : { version }),
  }
  return { ...named, ...facts.details, ...named }
}

/**
 * Value of `Retry-After` in whole seconds, rounded up; undefined where coming back later would not help. `random` in [0, 1) spreads
 * callers over the last quarter.
 */
export function retryAfterSeconds({ code, facts }: GatewayError, random: () => number): number | undefined {
  if (ERRORS[code].retry !== 'later') return undefined
  // Pins do not pass by themselves; what does pass says when.
  if (code === 'CAPACITY_EXHAUSTED' && facts.retryAfterMs === undefined) return undefined
  const ms = (facts.retryAfterMs ?? DEFAULT_RETRY_AFTER_MS) * (1 + JITTER * random())
  return Math.min(MAX_RETRY_AFTER_S, Math.max(1, Math.ceil(ms / 1000)))
}
