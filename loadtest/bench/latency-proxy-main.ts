/**
 * A TCP proxy that brings every byte later by the same time, in a process of its own: `TARGET_PORT DELAY_MS`. Both ways are delayed, so
 * that a round trip takes twice the time. It adds no limit of speed but the bytes that a connection may have on their way, and opens
 * connections without delay. Prints where it tells of itself: `GET /` there answers with a ProxyReport.
 */
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import type { AddressInfo, Server } from 'node:net'
import { connect, createServer, type Socket } from 'node:net'
import { systemClock, type Timer } from '../../src/lib/clock.ts'
import { giveBack } from '../../src/lib/give-back.ts'
import type { ProxiedCall, ProxyReport } from './latency-proxy.ts'

/** As much as TCP's receive window grows to by default on Linux. */
const WINDOW_BYTES = 6 * 2 ** 20
const READ_BYTES = 512 * 1024
const HEAD_BYTES = 4096
const HEAD = /^(GET|HEAD|PUT|POST|DELETE) (\S+) HTTP\/1\.1\r\n/

const [targetPort = 0, delayMs = 0] = process.argv.slice(2).map(Number)
const clock = systemClock
const calls: ProxiedCall[] = []
const bytes = { up: 0, down: 0 }

/** One direction of one connection: what comes from `from` goes to `to`, later. */
class Lane {
  readonly #from: Socket
  readonly #to: Socket
  /** The oldest first; undefined is the end. */
  readonly #underWay: Array<{ readonly chunk: Buffer | undefined; readonly due: number }> = []
  #bytes = 0
  #timer: Timer | undefined

  constructor(from: Socket, to: Socket) {
    this.#from = from
    this.#to = to
    from.on('end', () => this.take(undefined))
    from.on('error', () => to.destroy())
    from.on('close', () => {
      if (!from.readableEnded) to.destroy()
    })
    to.on('drain', () => this.#deliver())
    to.on('close', () => this.#timer?.cancel())
  }

  /** The chunk is the lane's from here on. */
  take(chunk: Buffer | undefined): void {
    this.#underWay.push({ chunk, due: clock.now() + delayMs })
    this.#bytes += chunk?.length ?? 0
    if (this.#bytes > WINDOW_BYTES) this.#from.pause()
    if (this.#timer === undefined) this.#deliver()
  }

  #deliver(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    const now = clock.now()
    this.#to.cork()
    while (!this.#to.writableNeedDrain) {
      const [next] = this.#underWay
      if (next === undefined) break
      if (next.due > now) {
        this.#timer = clock.after(next.due - now, () => this.#deliver())
        break
      }
      this.#underWay.shift()
      this.#send(next.chunk)
    }
    this.#to.uncork()
    if (this.#from.isPaused() && this.#bytes <= WINDOW_BYTES) this.#from.resume()
  }

  #send(chunk: Buffer | undefined): void {
    if (chunk === undefined) return void this.#to.end()
    this.#bytes -= chunk.length
    this.#to.write(chunk, () => giveBack(chunk))
  }
}

/** Bodies come this way: read in large pieces, so that the proxy costs little beside what is measured through it. */
function connectTo(port: number, onBytes: (chunk: Buffer) => void): Socket {
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
  const callback = (bytes: number): boolean => {
    const chunk = Buffer.allocUnsafeSlow(bytes)
    buffer.copy(chunk, 0, 0, bytes)
    onBytes(chunk)
    return true
  }
  return connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true, onread: { buffer, callback } })
}

function note(chunk: Buffer): void {
  const head = chunk.toString('latin1', 0, HEAD_BYTES)
  const [, method, path] = HEAD.exec(head) ?? []
  if (method === undefined || path === undefined) return
  calls.push({ method, path, range: /\r\nrange: *(\S+)/i.exec(head)?.[1] })
}

async function portOf(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

const proxy = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
  const server = connectTo(targetPort, (chunk) => {
    bytes.down += chunk.length
    back.take(chunk)
  })
  const there = new Lane(client, server)
  const back = new Lane(server, client)
  client.on('data', (chunk) => {
    note(chunk)
    bytes.up += chunk.length
    there.take(chunk)
  })
})
const port = await portOf(proxy)
const control = createHttpServer((_request, response) => {
  const report: ProxyReport = { port, calls, bytes }
  response.end(JSON.stringify(report))
})
process.stdout.write(`listening on http://127.0.0.1:${await portOf(control)}\n`)
process.once('SIGTERM', () => process.exit())
