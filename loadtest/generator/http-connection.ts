/**
 * One keep-alive connection with one request in flight. It connects when first used and again after it was closed; a request is never
 * sent twice. Its owner sweeps for timeouts, because a timer per request costs more than the request.
 */
import { connect, type Socket } from 'node:net'
import type { Clock } from '../../src/lib/clock.ts'
import type { Target } from './plan.ts'
import { type HttpResponse, ResponseReader } from './response-reader.ts'

export type Failure = 'timeout' | 'connection'

/** Exactly one of the two is called for a request. A response's body is valid during the call only. */
export interface RequestOutcome {
  onResponse(response: HttpResponse): void
  onFailure(failure: Failure, reason: string): void
}

const READ_BYTES = 64 * 1024

export class HttpConnection {
  readonly #target: Target
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #reader = new ResponseReader()
  readonly #buffer = Buffer.allocUnsafeSlow(READ_BYTES)
  #socket: Socket | undefined
  #outcome: RequestOutcome | undefined
  #sentAt = 0

  constructor(target: Target, timeoutMs: number, clock: Clock) {
    this.#target = target
    this.#timeoutMs = timeoutMs
    this.#clock = clock
  }

  get isBusy(): boolean {
    return this.#outcome !== undefined
  }

  /** Sends a whole request, head and body in one or more pieces. One at a time. */
  send(pieces: readonly Uint8Array[], outcome: RequestOutcome): void {
    if (this.#outcome !== undefined) throw new Error('the connection already has a request in flight')
    this.#outcome = outcome
    this.#sentAt = this.#clock.now()
    const socket = this.#socket ?? this.#open()
    if (pieces.length > 1) socket.cork()
    for (const piece of pieces) socket.write(piece)
    if (pieces.length > 1) socket.uncork()
  }

  /** Ends a request that has waited too long, and its connection with it. */
  sweep(): void {
    if (this.#outcome !== undefined && this.#clock.now() - this.#sentAt > this.#timeoutMs) {
      this.#fail('timeout', `no answer within ${this.#timeoutMs} ms`)
    }
  }

  /** Idempotent; a request in flight fails. */
  close(): void {
    this.#fail('connection', 'closed by the generator')
  }

  #open(): Socket {
    const { host, port } = this.#target
    const onread = { buffer: this.#buffer, callback: (bytes: number) => this.#read(socket, bytes) }
    const socket: Socket = connect({ host, port, noDelay: true, onread })
    socket.on('error', (error) => this.#lost(socket, error.message))
    socket.on('close', () => this.#lost(socket, 'the server closed the connection'))
    this.#socket = socket
    return socket
  }

  #read(socket: Socket, bytes: number): boolean {
    if (socket !== this.#socket) return false
    const outcome = this.#outcome
    if (outcome === undefined) {
      this.#lost(socket, 'the server sent bytes that no request asked for')
      return false
    }
    try {
      const response = this.#reader.push(this.#buffer.subarray(0, bytes))
      if (response === undefined) return true
      if (response.closes) this.#drop()
      this.#outcome = undefined
      outcome.onResponse(response)
      return true
    } catch (error) {
      this.#fail('connection', error instanceof Error ? error.message : String(error))
      return false
    }
  }

  #lost(socket: Socket, reason: string): void {
    if (socket === this.#socket) this.#fail('connection', reason)
  }

  #fail(failure: Failure, reason: string): void {
    const outcome = this.#outcome
    this.#outcome = undefined
    this.#drop()
    outcome?.onFailure(failure, reason)
  }

  #drop(): void {
    this.#reader.reset()
    this.#socket?.destroy()
    this.#socket = undefined
  }
}

export interface Reply {
  readonly status: number
  readonly head: string
  readonly body: Buffer
  /** From sending to the last byte of the answer. */
  readonly ms: number
}

/** One request on a connection as a promise, with a copy of the body. Rejects with a reason when there is no answer. */
export function requestOnce(connection: HttpConnection, pieces: readonly Uint8Array[], clock: Clock): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sentAt = clock.now()
    const sweeper = clock.every(1000, () => connection.sweep())
    connection.send(pieces, {
      onResponse({ status, head, body }) {
        const ms = clock.now() - sentAt
        sweeper.cancel()
        resolve({ status, head, body: Buffer.from(body), ms })
      },
      onFailure(failure, reason) {
        sweeper.cancel()
        reject(new Error(`${failure}: ${reason}`))
      },
    })
  })
}
