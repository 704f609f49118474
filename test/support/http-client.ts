/** An HTTP client that sends exactly what a test says: raw paths, repeated headers, wrong lengths. */
import type { IncomingHttpHeaders } from 'node:http'
import { Agent, request as httpRequest } from 'node:http'

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly text: string
  /** Of a JSON object; `{}` for anything else. */
  readonly json: Readonly<Record<string, unknown>>
}

export interface Send {
  readonly method?: string
  /** As it goes on the wire, never normalised. */
  readonly path: string
  /** Flat: name, value, name, value. `content-length` is added for a body unless a transfer-encoding is there. */
  readonly headers?: readonly string[]
  readonly body?: string | Buffer
  /** Aborting it closes the connection, as a client that leaves does. */
  readonly signal?: AbortSignal
}

export class HttpClient {
  readonly #port: number
  readonly #agent = new Agent({ keepAlive: true })

  constructor(port: number) {
    this.#port = port
  }

  /** Connections kept for requests to come, and those under way. */
  get connections(): number {
    const { freeSockets, sockets } = this.#agent
    return [freeSockets, sockets]
      .flatMap((some) => Object.values(some))
      .reduce((sum, list) => sum + (list?.length ?? 0), 0)
  }

  get(path: string): Promise<Answer> {
    return this.send({ path })
  }

  post(path: string, body: string | Buffer = '', ...headers: string[]): Promise<Answer> {
    return this.send({ method: 'POST', path, headers, body })
  }

  /** Rejects when the connection is refused, breaks, or is left. */
  send({ method = 'GET', path, headers = [], body, signal }: Send): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const isChunked = headers.some((text) => text.toLowerCase() === 'transfer-encoding')
      const length = body === undefined || isChunked ? [] : ['content-length', String(Buffer.byteLength(body))]
      const request = httpRequest(
        {
          host: '127.0.0.1',
          port: this.#port,
          agent: this.#agent,
          method,
          path,
          headers: ['host', 'localhost', ...headers, ...length],
          ...(signal === undefined ? {} : { signal }),
        },
        (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('error', reject)
          response.on('end', () => resolve(answerOf(response.statusCode ?? 0, response.headers, Buffer.concat(chunks))))
        },
      )
      request.on('error', reject)
      request.end(body)
    })
  }

  /** Closes idle connections and those under way. */
  close(): void {
    this.#agent.destroy()
  }
}

function answerOf(status: number, headers: IncomingHttpHeaders, body: Buffer): Answer {
  const text = body.toString('utf8')
  return { status, headers, body, text, json: asObject(text) }
}

function asObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}
