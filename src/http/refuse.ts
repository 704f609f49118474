/**
 * An answer to a request whose body is still on its way. Closing at once would reset the connection, and the client would lose
 * the answer it was given; so the rest is read and thrown away for a while, then the connection is closed.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../lib/clock.ts'

const LINGER_MS = 2000
const LINGER_BYTES = 16 * 2 ** 20
/** A rest this small is left to Node, which reads it to its end and keeps the connection. */
const SMALL_REST_BYTES = 64 * 1024

/** Will the rest of this body be cheap to read, so that the connection can be kept? */
export function isRestSmall(request: IncomingMessage): boolean {
  if (request.complete || request.readableEnded) return true
  const length = request.headers['content-length']
  if (length === undefined) return request.headers['transfer-encoding'] === undefined
  return Number(length) <= SMALL_REST_BYTES
}

/** Sends the answer and closes the connection, in an order in which the client can read it. `headers` is a flat list with content-length. */
export function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  headers: string[],
  body: Buffer,
  clock: Clock,
): void {
  headers.push('connection', 'close')
  response.writeHead(status, headers)
  // Complete by its content-length; ending it here would close the socket under the client's feet.
  response.write(body)
  let bytes = 0
  const end = (): void => {
    timer.cancel()
    request.off('data', onData).off('end', end).off('close', end)
    response.end()
  }
  const onData = (chunk: Buffer): void => {
    bytes += chunk.length
    if (bytes > LINGER_BYTES) end()
  }
  const timer = clock.after(LINGER_MS, end)
  request.on('data', onData).on('end', end).on('close', end).resume()
}
