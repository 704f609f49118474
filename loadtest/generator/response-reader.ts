/**
 * Reads HTTP/1.1 responses off a connection that has one request in flight: status, head, and a body of `Content-Length` bytes.
 * A hundred lines instead of a client library, because the generator shares two cores with what it measures.
 */

export interface HttpResponse {
  readonly status: number
  /** Status line and header lines as sent, without the empty line. */
  readonly head: string
  /** Valid only during the call that hands it over. */
  readonly body: Buffer
  readonly closes: boolean
}

interface Head {
  readonly status: number
  readonly text: string
  readonly bodyStart: number
  readonly contentLength: number
  readonly closes: boolean
}

const END_OF_HEAD = Buffer.from('\r\n\r\n')
const MAX_HEAD_BYTES = 64 * 1024

export class ResponseReader {
  #pending: Buffer[] = []
  #pendingBytes = 0
  #head: Head | undefined

  /**
   * Takes bytes as they came; gives the response once it is whole. `chunk` may be written over after the call.
   * @throws Error on anything that is not a response with a length, and on bytes after its end
   */
  push(chunk: Buffer): HttpResponse | undefined {
    const bytes = this.#pendingBytes === 0 ? chunk : this.#joined(chunk)
    if (bytes === undefined) return undefined
    const head = this.#head ?? readHead(bytes)
    if (head === undefined) {
      if (bytes.length > MAX_HEAD_BYTES) throw new Error(`the response's head is longer than ${MAX_HEAD_BYTES} bytes`)
      return this.#keep(chunk)
    }
    const end = head.bodyStart + head.contentLength
    if (bytes.length > end) throw new Error(`${bytes.length - end} bytes came after the end of the response`)
    if (bytes.length < end) {
      this.#head = head
      return this.#keep(chunk)
    }
    this.reset()
    return { status: head.status, head: head.text, body: bytes.subarray(head.bodyStart), closes: head.closes }
  }

  reset(): void {
    this.#pending = []
    this.#pendingBytes = 0
    this.#head = undefined
  }

  /** Everything so far in one piece, or undefined when the length is known and more must come: big bodies are joined once. */
  #joined(chunk: Buffer): Buffer | undefined {
    const head = this.#head
    if (head !== undefined && this.#pendingBytes + chunk.length < head.bodyStart + head.contentLength) {
      return this.#keep(chunk)
    }
    return Buffer.concat([...this.#pending, chunk])
  }

  #keep(chunk: Buffer): undefined {
    this.#pending.push(Buffer.from(chunk))
    this.#pendingBytes += chunk.length
    return undefined
  }
}

function readHead(bytes: Buffer): Head | undefined {
  const end = bytes.indexOf(END_OF_HEAD)
  if (end === -1) return undefined
  const text = bytes.toString('latin1', 0, end)
  const status = Number(text.slice(9, 12))
  if (!text.startsWith('HTTP/1.1 ') || !(status >= 200)) {
    throw new Error(`not a final HTTP/1.1 response: ${text.slice(0, 40)}`)
  }
  const length = headerOf(text, 'content-length')
  const hasNoBody = status === 204 || status === 304
  const contentLength = length === undefined && hasNoBody ? 0 : Number(length)
  if (!Number.isSafeInteger(contentLength)) throw new Error('the response has no Content-Length')
  const closes = headerOf(text, 'connection')?.toLowerCase() === 'close'
  return { status, text, bodyStart: end + END_OF_HEAD.length, contentLength, closes }
}

/** The value of the first header of that name (lower case) in a response's head. */
export function headerOf(head: string, name: string): string | undefined {
  const width = name.length
  for (let at = head.indexOf('\r\n'); at !== -1; at = head.indexOf('\r\n', at + 2)) {
    const colon = at + 2 + width
    if (head.charCodeAt(colon) !== 58) continue
    if (head.slice(at + 2, colon).toLowerCase() !== name) continue
    const end = head.indexOf('\r\n', colon)
    return head.slice(colon + 1, end === -1 ? undefined : end).trim()
  }
  return undefined
}
