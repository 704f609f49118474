/**
 * Answers that were sent and not yet taken: a client that asks and does not read leaves them in this server's memory. Together they stay
 * within a budget, past which no inference begins, and a connection that takes nothing of its answer for a while is closed.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { GatewayError } from '../domain/errors.ts'

export interface AnswerBudgetOptions {
  /** Of all answers together; those of inferences under way may still pass it. */
  readonly maxBytes: number
  /** How long an answer may make no progress before its connection is closed; at most twice as long, as Node looks at it. */
  readonly stallMs: number
  /** The server's own limit for a connection on which nothing moves, which holds again after the answer. */
  readonly idleMs: number
}

export class AnswerBudget {
  readonly #options: AnswerBudgetOptions
  #used = 0

  constructor(options: AnswerBudgetOptions) {
    this.#options = options
  }

  get used(): number {
    return this.#used
  }

  /** @throws GatewayError OVERLOADED while the budget is spent */
  checkRoom(): void {
    if (this.#used < this.#options.maxBytes) return
    throw new GatewayError(
      'OVERLOADED',
      'clients do not take the answers that are ready for them; come back in a moment',
      {
        retryAfterMs: 1000,
      },
    )
  }

  /** Call it right after the end of a response. What the operating system took at once is no matter, and costs nothing here. */
  watch(request: IncomingMessage, response: ServerResponse): void {
    const bytes = response.writableLength
    if (bytes === 0 || response.destroyed || request.socket.destroyed) return
    const { stallMs, idleMs } = this.#options
    this.#used += bytes
    // It also comes to a response that waits for its turn behind another one.
    response.once('close', () => {
      this.#used -= bytes
    })
    // One that waits is not stalled: it is watched once it has the connection.
    if (response.socket === null) response.once('socket', () => limitStall(response, stallMs, idleMs))
    else limitStall(response, stallMs, idleMs)
  }
}

/**
 * Node's own timer of the connection: it knows what the operating system took of a write under way, which no stream tells. It also
 * starts again with every byte that comes in, so nothing is read meanwhile: a client that sends now and then and never reads would
 * keep its answer for ever.
 */
function limitStall(response: ServerResponse, stallMs: number, idleMs: number): void {
  const { socket } = response
  socket?.pause()
  socket?.setTimeout(stallMs)
  // Before Node sets the limit of a kept connection, which must stand.
  response.prependOnceListener('finish', () => {
    socket?.setTimeout(idleMs)
    socket?.resume()
  })
}
