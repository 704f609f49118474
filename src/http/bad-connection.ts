/** Connections whose bytes never became a request: malformed, too slow, or headers over the limit. */

import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock } from '../lib/clock.ts'

const STATUS: Readonly<Record<string, number>> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 }
const MESSAGES: Readonly<Record<number, string>> = {
  400: 'the request is not HTTP',
  408: 'the request did not arrive in time',
  431: 'the headers of the request are larger than the limit of this server',
}

/** A client has so long to read the answer and to close its side. */
const LINGER_MS = 2000

/** Answers if that can still be done, and closes the connection: the client's side too, after a while. */
export function answerBadConnection(error: Error, socket: Duplex, clock: Clock): void {
  const code = 'code' in error ? String(error.code) : ''
  // In the middle of another answer, text of ours would be taken for a part of it.
  if (code === 'ECONNRESET' || !socket.writable || hasBegunAnswer(socket)) {
    socket.destroy(error)
    return
  }
  // Destroying at once could reset the connection before the client has read; not at all, a client that never closes keeps it.
  const timer = clock.after(LINGER_MS, () => socket.destroy())
  socket.once('close', () => timer.cancel())
  const status = STATUS[code] ?? 400
  const body = JSON.stringify({ error: MESSAGES[status], code: status === 408 ? 'REQUEST_TIMEOUT' : 'BAD_REQUEST' })
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}

/** Node hangs the answer under way on its socket and asks the same question before its own answer to a bad connection. */
function hasBegunAnswer(socket: Duplex): boolean {
  const { _httpMessage: answer } = socket as Duplex & {
    readonly _httpMessage?: { readonly headersSent: boolean } | null
  }
  return answer?.headersSent === true
}
