/** A worker's report as outcomes of the requests it is about. */
import { GatewayError } from '../domain/errors.ts'
import type { HandOverReport } from '../worker/messages.ts'
import type { ReplicaRequest } from './request.ts'

/** `items` in the order in which they were handed over. */
export function answer(items: readonly ReplicaRequest[], { answers, decodeMs, runMs, encodeMs }: HandOverReport): void {
  for (let i = 0; i < items.length; i++) {
    const request = items[i]
    const one = answers[i]
    if (request === undefined) continue
    const { timings } = request
    timings.decode = decodeMs
    timings.run = runMs
    timings.encode = encodeMs
    if (one === undefined)
      request.fail(new GatewayError('INTERNAL', 'the worker gave fewer answers than it had requests'))
    else if (one.ok) {
      const { body, rows, jsonBytes } = one
      request.succeed(jsonBytes === undefined ? { body, batchRows: rows } : { body, batchRows: rows, jsonBytes })
    } else request.fail(one.error)
  }
}
