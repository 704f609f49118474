/**
 * A client that closed its side of a connection may still wait for the answer (it said all it had to say), or may be gone: both look the
 * same. Interim answers tell: whoever waits passes over them, and the system of one that is gone answers with a reset, which fails the
 * next write and so ends the connection with all that was asked on it. Without that, work would be done for nobody, or clients that
 * close their side early would get nothing.
 */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Clock } from '../lib/clock.ts'
import { answerUnderWay } from './answer-under-way.ts'

/** A reset takes a round trip; one over long distances is noticed with the next question. Doubles each time. */
const FIRST_PAUSE_MS = 20
const LONGEST_PAUSE_MS = 5000

/** Node's servers close their side when the client does, unless told otherwise by a property that its types leave out. */
export function allowHalfClose(server: Server): void {
  Object.assign(server, { httpAllowHalfOpen: true })
}

/** Call it when the client's side has ended. Clients of HTTP/1.0 know no interim answers, and proxies that speak it close when they leave. */
export function askWhetherGone(socket: Socket, clock: Clock, pauseMs = FIRST_PAUSE_MS): void {
  const response = answerUnderWay(socket)
  if (response === undefined || response.headersSent || !socket.writable) return
  if (response.req.httpVersion !== '1.1') {
    socket.destroy()
    return
  }
  response.writeProcessing()
  const timer = clock.after(pauseMs, () => {
    response.off('close', stop)
    askWhetherGone(socket, clock, Math.min(2 * pauseMs, LONGEST_PAUSE_MS))
  })
  const stop = (): void => timer.cancel()
  response.once('close', stop)
}
