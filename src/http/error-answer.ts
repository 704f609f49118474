/** A GatewayError as an answer: status, headers and body, the same on every route. */
import type { GatewayError } from '../domain/errors.ts'

/** What clients of every protocol family find in an error: `error` for people, the rest for programs. */
export function errorBody(error: GatewayError, requestId: string): Buffer {
  const { model, version, details } = error.facts
  return Buffer.from(
    JSON.stringify({
      error: error.message,
      code: error.code,
      request_id: requestId,
      ...(model !== undefined && { model }),
      ...(version !== undefined && { version }),
      ...(details !== undefined && { details }),
    }),
  )
}

/** Headers an error brings along, as a flat list. */
export function errorHeaders(error: GatewayError): string[] {
  const headers: string[] = []
  const { retryAfterMs } = error.facts
  if (retryAfterMs !== undefined) headers.push('retry-after', String(Math.max(1, Math.ceil(retryAfterMs / 1000))))
  if (error.code === 'UNSUPPORTED_ENCODING') headers.push('accept-encoding', 'gzip, deflate, identity')
  return headers
}
