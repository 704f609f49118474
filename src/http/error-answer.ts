/** A GatewayError as an answer: status, headers and body, the same on every route. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { GatewayError } from '../domain/errors.ts'
import type { Clock } from '../lib/clock.ts'
import { errorBody, retryAfterSeconds } from '../protocol/error-body.ts'
import { servedHeaders } from './answer-headers.ts'
import { isRestSmall, refuse } from './refuse.ts'

export interface AnswerContext {
  readonly requestId: string
  readonly traceId?: string | undefined
  readonly isDraining: boolean
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
}

/** Sends the answer, also when the request's body is still on its way. @returns bytes of its body */
export function sendError(
  request: IncomingMessage,
  response: ServerResponse,
  error: GatewayError,
  { requestId, traceId, isDraining, clock, random }: AnswerContext,
): number {
  const body = Buffer.from(JSON.stringify(errorBody(error, { requestId, traceId })))
  const length = String(body.length)
  const headers = ['content-type', 'application/json', 'content-length', length, 'x-request-id', requestId]
  headers.push(...servedHeaders(error.facts), ...errorHeaders(error, random))
  if (!isRestSmall(request)) {
    refuse(request, response, error.status, headers, body, clock)
    return body.length
  }
  if (isDraining) headers.push('connection', 'close')
  response.writeHead(error.status, headers)
  response.end(body)
  return body.length
}

/** Headers an error brings along, as a flat list. */
function errorHeaders(error: GatewayError, random: () => number): string[] {
  const headers: string[] = []
  const retryAfter = retryAfterSeconds(error, random)
  if (retryAfter !== undefined) headers.push('retry-after', String(retryAfter))
  if (error.code === 'UNSUPPORTED_ENCODING') headers.push('accept-encoding', 'gzip, deflate, identity')
  return headers
}
