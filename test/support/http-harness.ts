/** An HTTP server over a FakeGateway on a free port of the loopback, and a client that sends exactly what a test says. */

import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { after } from 'node:test'
import type { HttpServerDeps, HttpServerOptions } from '../../src/http/server.ts'
import { HttpServer } from '../../src/http/server.ts'
import { systemClock } from '../../src/lib/clock.ts'
import type { RequestSummary } from '../../src/telemetry/request-summary.ts'
import { FakeGateway } from './fake-gateway.ts'
import type { Answer, Send } from './http-client.ts'
import { HttpClient } from './http-client.ts'

export type { Answer, Send } from './http-client.ts'

export const OPTIONS: HttpServerOptions = {
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  keepAliveTimeoutMs: 75_000,
  maxHeaderBytes: 16_384,
  maxConnections: 100,
  maxConnectionsPerAddress: 0,
  maxBodyBytes: 1_000_000,
  maxJsonBytes: 200_000,
  compressMinBytes: 1000,
  maxReceivingBytes: 10_000_000,
  maxDeadlineMs: 600_000,
  defaultModel: null,
  metadataPerSecond: 1000,
}

export interface Harness {
  readonly server: HttpServer
  readonly gateway: FakeGateway
  readonly port: number
  readonly summaries: RequestSummary[]
  readonly events: string[]
  send(what: Send): Promise<Answer>
  post(path: string, body?: string | Buffer, ...headers: string[]): Promise<Answer>
  get(path: string): Promise<Answer>
  /** A bare connection. */
  connect(): Promise<Socket>
  /** Resolves once this many requests are over. */
  finished(count: number): Promise<void>
  close(): Promise<void>
}

export async function startHttp(
  options: Partial<HttpServerOptions> = {},
  deps: Partial<HttpServerDeps> = {},
  wantedPort = 0,
  host = '127.0.0.1',
): Promise<Harness> {
  const gateway = new FakeGateway()
  const summaries: RequestSummary[] = []
  const events: string[] = []
  let wake = (): void => {}
  const server = new HttpServer(
    { ...OPTIONS, ...options },
    {
      gateway,
      clock: systemClock,
      random: () => 0,
      log: { event: (name) => events.push(name) },
      observer: {
        requestDone: (summary) => {
          summaries.push(summary)
          wake()
        },
      },
      metrics: { contentType: 'text/plain; version=0.0.4', render: () => Promise.resolve('up 1\n') },
      version: '1.2.3',
      bootId: 'boot',
      ...deps,
    },
  )
  const port = await server.listen({ host, port: wantedPort })
  const client = new HttpClient(port)
  const harness: Harness = {
    server,
    gateway,
    port,
    summaries,
    events,
    send: (what) => client.send(what),
    post: (path, body = '{}', ...headers) => client.post(path, body, ...headers),
    get: (path) => client.get(path),
    connect: () => open(port),
    finished: async (count) => {
      while (summaries.length < count) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
    close: async () => {
      client.close()
      await server.destroy()
    },
  }
  after(() => harness.close())
  return harness
}

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket))
    socket.once('error', reject)
  })
}

/** Everything the server sends on a bare connection until it closes it. */
export function readToEnd(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(text))
  })
}
