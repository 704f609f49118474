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

/** So long while others wait for the room that it takes. */
const PRESSED_STALL_MS = 2000

export class AnswerBudget {
  readonly #options: AnswerBudgetOptions
  /** Answers on their way whose clients have all the time there is. */
  readonly #patient = new Set<ServerResponse>()
  #used = 0

  constructor(options: AnswerBudgetOptions) {
    this.#options = options
  }

  get used(): number {
    return this.#used
  }

  /** Whoever finds no room shortens the time that clients have which take nothing. @throws GatewayError OVERLOADED while the budget is spent */
  checkRoom(): void {
    if (this.#used < this.#options.maxBytes) return
    this.#press()
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
    this.#used += bytes
    // It also comes to a response that waits for its turn behind another one.
    response.once('close', () => {
      this.#used -= bytes
      this.#patient.delete(response)
    })
    // One that waits is not stalled: it is watched once it has the connection.
    if (response.socket === null) response.once('socket', () => this.#limit(response))
    else this.#limit(response)
  }

  #limit(response: ServerResponse): void {
    const { stallMs, idleMs } = this.#options
    limitStall(response, stallMs, idleMs)
    this.#patient.add(response)
  }

  /** Once for each answer: to set a limit again is to begin it again. */
  #press(): void {
    const ms = Math.min(PRESSED_STALL_MS, this.#options.stallMs)
    for (const { socket } of this.#patient) socket?.setTimeout(ms)
    this.#patient.clear()
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
