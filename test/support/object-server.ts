/** A real HTTP server of objects with ETags, If-Match and ranges, and the reader with which a store reads them. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { RemoteFile } from '../../src/domain/remote-source.ts'
import { type ObjectReader, ReadFailure } from '../../src/store/object-reader.ts'

export class ObjectServer {
  readonly #objects = new Map<string, Buffer>()
  readonly #server: Server

  private constructor() {
    this.#server = createServer((incoming, outgoing) => this.#serve(incoming, outgoing))
  }

  static async start(): Promise<ObjectServer> {
    const server = new ObjectServer()
    server.#server.listen(0, '127.0.0.1')
    await once(server.#server, 'listening')
    return server
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** @returns the object as a registry would have resolved it, with all that could be known of it */
  put(key: string, content: Buffer): RemoteFile & { readonly sha256: string } {
    this.#objects.set(`/${key}`, content)
    const path = key.slice(key.lastIndexOf('/') + 1)
    return { path, bytes: content.length, location: `/${key}`, etag: etagOf(content), sha256: sha256Of(content) }
  }

  remove(key: string): void {
    this.#objects.delete(`/${key}`)
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  #serve({ url, headers }: IncomingMessage, outgoing: ServerResponse): void {
    const content = this.#objects.get(url ?? '')
    if (content === undefined) return void outgoing.writeHead(404).end()
    const etag = etagOf(content)
    if (headers['if-match'] !== undefined && headers['if-match'] !== etag) return void outgoing.writeHead(412).end()
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? []
    if (first === undefined || last === undefined) {
      return void outgoing.writeHead(200, { etag, 'content-length': content.length }).end(content)
    }
    const from = Number(first)
    if (from >= content.length) return void outgoing.writeHead(416).end()
    const part = content.subarray(from, Math.min(Number(last) + 1, content.length))
    const range = `bytes ${from}-${from + part.length - 1}/${content.length}`
    outgoing.writeHead(206, { etag, 'content-length': part.length, 'content-range': range }).end(part)
  }
}

/** Reads from `origin` with node:http, as strictly as a client should. `ranges: false`: whole objects only, as some proxies serve them. */
export function httpReader(origin: string, ranges = true): ObjectReader {
  return {
    ranges,
    async read({ location, etag, bytes }, from, to, signal) {
      const headers = {
        ...(etag === undefined ? {} : { 'if-match': etag }),
        ...(ranges ? { range: `bytes=${from}-${to - 1}` } : {}),
      }
      const [answer] = (await once(get(new URL(location, origin), { headers, signal, agent: false }), 'response', {
        signal,
      })) as [IncomingMessage]
      const failure = failureOf(answer)
      if (failure !== undefined) {
        answer.destroy()
        throw failure
      }
      if (ranges && answer.headers['content-range'] !== `bytes ${from}-${to - 1}/${bytes}`) {
        answer.destroy()
        throw new ReadFailure('unavailable', 'the store sent another range than was asked for')
      }
      return answer
    },
  }
}

function failureOf({ statusCode = 0 }: IncomingMessage): ReadFailure | undefined {
  if (statusCode === 200 || statusCode === 206) return undefined
  const message = `the store answered ${statusCode}`
  if (statusCode === 403) return new ReadFailure('denied', message)
  if (statusCode === 404) return new ReadFailure('missing', message)
  if (statusCode === 412 || statusCode === 416) return new ReadFailure('replaced', message)
  if (statusCode === 503) return new ReadFailure('slow-down', message)
  if (statusCode >= 300 && statusCode < 400)
    return new ReadFailure('denied', 'the store sent the way to another address')
  return new ReadFailure('unavailable', message)
}

export function sha256Of(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

function etagOf(content: Uint8Array): string {
  return `"${createHash('md5').update(content).digest('hex')}"`
}
