/** Connections whose bytes never became a request: malformed, too slow, headers over the limit, or not for a server of this kind. */

import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { ErrorCode } from '../domain/errors.ts'
import { ERRORS } from '../domain/errors.ts'
import type { Clock } from '../lib/clock.ts'
import { answerUnderWay } from './answer-under-way.ts'

interface BareAnswer {
  readonly status: number
  readonly code: ErrorCode
  readonly error: string
}

const MALFORMED: BareAnswer = { status: 400, code: 'BAD_REQUEST', error: 'the request is not HTTP' }
/** By the code of Node's parser. */
const ANSWERS: Readonly<Record<string, BareAnswer>> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    code: 'BAD_REQUEST',
    error: 'the headers of the request are larger than the limit of this server',
  },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: {
    status: 413,
    code: 'BODY_TOO_LARGE',
    error: 'the extensions of the chunks of the body are larger than the limit of this server',
  },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, code: 'REQUEST_TIMEOUT', error: 'the request did not arrive in time' },
}

/** A client has so long to read the answer and to close its side. */
const LINGER_MS = 2000

/** Answers if that can still be done, and closes the connection: the client's side too, after a while. Again and again: does no more. */
export function answerBadConnection(error: Error, socket: Duplex, clock: Clock): void {
  const code = 'code' in error ? String(error.code) : ''
  // More bad bytes behind the first: the answer to those, or another last one, is on its way, and a reset would take it back.
  if (socket.writableEnded && code !== 'ECONNRESET') return
  // In the middle of another answer, text of ours would be taken for a part of it.
  if (code === 'ECONNRESET' || !socket.writable || answerUnderWay(socket)?.headersSent === true) {
    socket.destroy(error)
    return
  }
  endWith(ANSWERS[code] ?? MALFORMED, socket, clock)
}

/** A tunnel to somewhere else, which this is no proxy for. */
export function refuseTunnel(socket: Duplex, clock: Clock): void {
  const { status } = ERRORS.METHOD_NOT_ALLOWED
  endWith({ status, code: 'METHOD_NOT_ALLOWED', error: 'CONNECT is for proxies; this is a server' }, socket, clock)
}

function endWith({ status, error, code }: BareAnswer, socket: Duplex, clock: Clock): void {
  // Destroying at once could reset the connection before the client has read; not at all, a client that never closes keeps it.
  const timer = clock.after(LINGER_MS, () => socket.destroy())
  socket.once('close', () => timer.cancel())
  const body = JSON.stringify({ error, code })
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}
