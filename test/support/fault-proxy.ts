/**
 * An HTTP proxy between a client and a real server that does to their conversation what networks and stores do: it is slow, stops,
 * resets, ends early, changes a byte, or answers in the server's place. The client is given the proxy's address as the server's, and
 * its Host header goes on unchanged, so that signed requests stay valid.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { pipeline } from 'node:stream'
import { pause, systemClock } from '../../src/lib/clock.ts'

/** `at`: byte of the object, not of the answer: it happens in the answer, of whatever range, that holds this byte. */
export type Fault =
  /** Nothing more comes, and the connection stays open. */
  | { readonly kind: 'stall'; readonly at: number }
  /** A reset (RST) in the middle of the body. */
  | { readonly kind: 'reset'; readonly at: number }
  /** The body ends in good order, and its Content-Length says so. */
  | { readonly kind: 'short'; readonly at: number }
  /** One bit is another. */
  | { readonly kind: 'flip'; readonly at: number }
  /** The server is not asked. */
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: string
    }
  /** The connection is reset before an answer. */
  | { readonly kind: 'refuse' }

export interface Order {
  readonly fault: Fault
  /** Which requests it may happen to; all when left out. */
  readonly when?: (request: IncomingMessage) => boolean
  /** How often it happens; for ever when left out. */
  readonly times?: number
}

interface StandingOrder extends Order {
  left: number
}

/** By then the other side has read what was sent. */
const READ_MS = 20

const SLICES_PER_SECOND = 20

export class FaultProxy {
  /** Before each answer's first byte. */
  latencyMs = 0
  /** Of each answer's body; 0 = as it comes. */
  bytesPerSecond = 0
  /** What a request waits for before anything becomes of it; nothing when left out. */
  hold: ((request: IncomingMessage) => Promise<unknown> | undefined) | undefined
  readonly #target: { readonly host: string; readonly port: number }
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #orders: StandingOrder[] = []
  readonly #seen: string[] = []
  #under = 0
  #most = 0

  private constructor(target: URL) {
    this.#target = { host: target.hostname, port: Number(target.port) }
    this.#server = createServer((incoming, outgoing) => {
      this.#most = Math.max(this.#most, ++this.#under)
      outgoing.on('close', () => this.#under--)
      this.#serve(incoming, outgoing).catch(() => outgoing.destroy())
    })
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  /** `target`: origin of the real server, over plain HTTP. */
  static async start(target: string): Promise<FaultProxy> {
    const proxy = new FaultProxy(new URL(target))
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Every request so far, as `GET /path bytes=0-99`. */
  get seen(): readonly string[] {
    return this.#seen
  }

  /** Answers under way at once, at most so far. */
  get mostAtOnce(): number {
    return this.#most
  }

  /** Later orders stand behind earlier ones. */
  order(order: Order): void {
    this.#orders.push({ ...order, left: order.times ?? Number.POSITIVE_INFINITY })
  }

  /** Everything goes well from here on. */
  heal(): void {
    this.#orders.length = 0
    this.latencyMs = 0
    this.bytesPerSecond = 0
    this.hold = undefined
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { range } = incoming.headers
    this.#seen.push(`${incoming.method} ${incoming.url}${range === undefined ? '' : ` ${range}`}`)
    if (this.latencyMs > 0) await pause(systemClock, this.latencyMs)
    await this.hold?.(incoming)
    const instead = this.#take(incoming, (fault) => fault.kind === 'answer' || fault.kind === 'refuse')
    if (instead?.kind === 'refuse') incoming.socket.resetAndDestroy()
    else if (instead?.kind === 'answer') {
      incoming.resume()
      outgoing.writeHead(instead.status, instead.headers).end(instead.body ?? '')
    } else this.#forward(incoming, outgoing)
  }

  #forward(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { method, url, headers } = incoming
    const onward = request({ ...this.#target, method, path: url, headers, agent: false })
    onward.on('response', (answer) => {
      const status = answer.statusCode ?? 502
      const from = status === 206 ? firstByteOf(answer.headers['content-range']) : 0
      const to = from + Number(answer.headers['content-length'] ?? Number.POSITIVE_INFINITY)
      const isBody = method === 'GET' && (status === 200 || status === 206)
      const fault = isBody ? this.#take(incoming, (one) => 'at' in one && one.at >= from && one.at < to) : undefined
      const cut = fault?.kind === 'short' ? { 'content-length': String(fault.at - from) } : {}
      outgoing.writeHead(status, { ...answer.headers, ...cut })
      outgoing.flushHeaders()
      pipeline(
        answer,
        (chunks) => this.#body(chunks, from, fault, outgoing),
        outgoing,
        () => {},
      )
    })
    onward.on('error', () => outgoing.destroy())
    outgoing.on('close', () => onward.destroy())
    incoming.pipe(onward)
  }

  async *#body(
    chunks: AsyncIterable<Buffer>,
    from: number,
    fault: Fault | undefined,
    outgoing: ServerResponse,
  ): AsyncGenerator<Buffer, void, undefined> {
    const at = fault !== undefined && 'at' in fault ? fault.at - from : Number.POSITIVE_INFINITY
    let passed = 0
    for await (const chunk of this.#paced(chunks)) {
      const place = at - passed
      passed += chunk.length
      if (place < 0 || place >= chunk.length) yield chunk
      else if (fault?.kind === 'flip') yield flipped(chunk, place)
      else {
        yield chunk.subarray(0, place)
        if (fault?.kind === 'short') return
        if (fault?.kind === 'reset') {
          // A reset overtakes what was not read yet.
          await pause(systemClock, READ_MS)
          outgoing.socket?.resetAndDestroy()
        }
        await once(outgoing, 'close')
      }
    }
  }

  async *#paced(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
    for await (const chunk of chunks) {
      const slice = this.bytesPerSecond > 0 ? Math.ceil(this.bytesPerSecond / SLICES_PER_SECOND) : chunk.length
      for (let at = 0; at < chunk.length; at += slice) {
        if (this.bytesPerSecond > 0) await pause(systemClock, 1000 / SLICES_PER_SECOND)
        yield chunk.subarray(at, at + slice)
      }
    }
  }

  #take(incoming: IncomingMessage, fits: (fault: Fault) => boolean): Fault | undefined {
    const found = this.#orders.find(({ fault, when, left }) => left > 0 && fits(fault) && (when?.(incoming) ?? true))
    if (found !== undefined) found.left--
    return found?.fault
  }
}

/** Of `bytes 100-199/1000`. */
function firstByteOf(contentRange: string | undefined): number {
  return Number(/^bytes (\d+)-/.exec(contentRange ?? '')?.[1] ?? 0)
}

function flipped(chunk: Buffer, at: number): Buffer {
  const copy = Buffer.from(chunk)
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}
