/**
 * The client connections of a server: how many there are, how many one address may have, and what happens to requests that were sent
 * ahead on one. A connection is counted from accept to close.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Clock } from '../lib/clock.ts'
import { askWhetherGone } from './half-close.ts'

export interface ConnectionsOptions {
  readonly max: number
  /** 0 = as many as there may be at all. */
  readonly maxPerAddress: number
}

/** Why a connection was closed right after it came. */
export type RefusedBecause = 'full' | 'address'

/**
 * Requests that a client may send ahead of the answer under way. All that come in one packet are begun before the first answer can hold
 * them back, and a packet has room for thousands whose answers are a thousand times as large.
 */
const MAX_AHEAD = 100

export class Connections {
  readonly refused: Record<RefusedBecause, number> = { full: 0, address: 0 }
  readonly #options: ConnectionsOptions
  readonly #clock: Clock
  readonly #perAddress = new Map<string, number>()
  /** Responses that wait for others on their connection; Node itself forgets them in some ways to end one. */
  readonly #queued = new WeakMap<Socket, Set<ServerResponse>>()
  /** Connections that end with an answer which is under way. */
  readonly #ending = new WeakSet<Socket>()
  readonly #known = new WeakSet<Socket>()
  #open = 0

  constructor(options: ConnectionsOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
  }

  get open(): number {
    return this.#open
  }

  watch(server: Server): void {
    server.maxConnections = this.#options.max
    server.on('connection', (socket) => this.#accept(socket))
    // Idle connections are not closed for those that come: then whoever opens many would take the place of everyone else's.
    server.on('drop', () => {
      this.refused.full++
    })
  }

  /**
   * Call it for each request. False, and nothing left to do, when an answer before it is the last on its connection: what follows could
   * not be answered, so it must not be done either.
   */
  admits({ socket }: IncomingMessage, response: ServerResponse): boolean {
    if (this.#ending.has(socket)) {
      response.destroy()
      return false
    }
    // It waits for the answers to requests before it.
    return response.socket !== null || this.#queue(socket, response)
  }

  #queue(socket: Socket, response: ServerResponse): boolean {
    const queued = this.#queued.get(socket) ?? this.#queueOf(socket)
    if (queued.size < MAX_AHEAD) {
      queued.add(response)
      response.once('close', () => queued.delete(response))
      return true
    }
    // A connection may be closed after any answer; clients ask again for what has none.
    const [last = response] = [...queued].slice(-1)
    this.endAfter(last.req, last)
    response.destroy()
    return false
  }

  /** The answer to this request is the last on its connection. */
  endAfter({ socket }: IncomingMessage, response: ServerResponse): void {
    if (this.#ending.has(socket)) return
    this.#ending.add(socket)
    if (response.headersSent) response.once('finish', () => socket.destroySoon())
    else response.shouldKeepAlive = false
  }

  isEnding(socket: object): boolean {
    return this.#ending.has(socket as Socket)
  }

  #accept(socket: Socket): void {
    // One whose offer of another protocol was declined comes again.
    if (this.#known.has(socket)) return
    this.#known.add(socket)
    const address = socket.remoteAddress ?? ''
    const count = (this.#perAddress.get(address) ?? 0) + 1
    const { maxPerAddress } = this.#options
    if (maxPerAddress > 0 && count > maxPerAddress) {
      this.refused.address++
      socket.destroy()
      return
    }
    this.#open++
    this.#perAddress.set(address, count)
    socket.once('end', () => askWhetherGone(socket, this.#clock))
    socket.once('close', () => {
      this.#open--
      const left = (this.#perAddress.get(address) ?? 1) - 1
      if (left === 0) this.#perAddress.delete(address)
      else this.#perAddress.set(address, left)
    })
  }

  #queueOf(socket: Socket): Set<ServerResponse> {
    const queued = new Set<ServerResponse>()
    this.#queued.set(socket, queued)
    socket.once('close', () => {
      for (const response of queued) response.destroy()
    })
    return queued
  }
}
