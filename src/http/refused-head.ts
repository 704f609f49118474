/** Answers to requests whose head is refused before anything else is looked at. The caller ends the connection with them. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { GatewayError } from '../domain/errors.ts'
import type { Clock } from '../lib/clock.ts'
import type { RequestObserver } from '../telemetry/request-summary.ts'
import { sendError } from './error-answer.ts'
import type { RequestIds } from './request-id.ts'

export interface RefusalDeps {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly observer: RequestObserver
  readonly ids: RequestIds
  readonly isDraining: () => boolean
}

/** `header`: the client's own request id. Ends in one summary, like every request. */
export function refuseHead(
  request: IncomingMessage,
  response: ServerResponse,
  error: GatewayError,
  header: string | undefined,
  { clock, random, observer, ids, isDraining }: RefusalDeps,
): void {
  const startedAt = clock.now()
  const requestId = ids.idFor(header)
  const bytesOut = sendError(request, response, error, { requestId, isDraining: isDraining(), clock, random })
  response.once('close', () => {
    observer.requestDone({
      requestId,
      method: request.method ?? '',
      route: 'unknown',
      status: error.status,
      code: error.code,
      error,
      bytesIn: 0,
      bytesOut,
      durationMs: clock.now() - startedAt,
    })
  })
}
