/** Compressed request bodies: gzip and deflate (a zlib stream, as HTTP means it), expanded to a bounded size, few at once. */
import { gunzip, inflate } from 'node:zlib'
import { GatewayError } from '../domain/errors.ts'
import { printable } from '../domain/model-ref.ts'
import { Semaphore } from '../lib/semaphore.ts'
import type { Body, ReceiveBudget } from './read-body.ts'
import { bodyTooLarge, receivingTooMuch } from './read-body.ts'

const EXPANDERS = { gzip: gunzip, 'x-gzip': gunzip, deflate: inflate } as const

/** Undefined for a body that is not compressed. */
export type Encoding = keyof typeof EXPANDERS | undefined

/** @throws GatewayError UNSUPPORTED_ENCODING */
export function readEncoding(header: string | undefined): Encoding {
  if (header === undefined) return undefined
  const name = header.trim().toLowerCase()
  if (name === 'identity' || name === '') return undefined
  if (Object.hasOwn(EXPANDERS, name)) return name as Encoding
  throw new GatewayError(
    'UNSUPPORTED_ENCODING',
    `the content encoding '${printable(header)}' is unknown here; send gzip, deflate or identity`,
  )
}

/** Each takes a thread of Node's pool, which the file system needs as well. */
const EXPANDED_AT_ONCE = 2

/** An expanded body, whose bytes are counted until `release`. */
export interface ExpandedBody extends Body {
  release(): void
}

/** Expands bodies within the budget of those being received: a body that is small on its way may be a thousand times as large. */
export class Expander {
  readonly #budget: ReceiveBudget
  readonly #turns = new Semaphore(EXPANDED_AT_ONCE)

  constructor(budget: ReceiveBudget) {
    this.#budget = budget
  }

  /** @throws GatewayError as `expand` does, OVERLOADED when the budget has no room for `maxBytes`; the signal's reason */
  async expand(
    body: Body,
    encoding: NonNullable<Encoding>,
    maxBytes: number,
    signal: AbortSignal,
  ): Promise<ExpandedBody> {
    // While it waits for its turn it is held in memory like one that is being received.
    this.#budget.hold(body.bytes)
    try {
      return await this.#turns.use(() => this.#expandNow(body, encoding, maxBytes), signal)
    } finally {
      this.#budget.give(body.bytes)
    }
  }

  async #expandNow(body: Body, encoding: NonNullable<Encoding>, maxBytes: number): Promise<ExpandedBody> {
    if (!this.#budget.take(maxBytes, body.bytes)) throw receivingTooMuch()
    const release = (): void => this.#budget.give(maxBytes)
    try {
      return { ...(await expand(body, encoding, maxBytes)), release }
    } catch (error) {
      release()
      throw error
    }
  }
}

/** @throws GatewayError BODY_TOO_LARGE as soon as the output passes `maxBytes`, BAD_REQUEST for broken data */
export async function expand(body: Body, encoding: NonNullable<Encoding>, maxBytes: number): Promise<Body> {
  try {
    const expanded = await expandWhole(Buffer.concat(body.chunks), encoding, maxBytes)
    return { chunks: [expanded], bytes: expanded.length }
  } catch (cause) {
    if (isTooLarge(cause)) throw bodyTooLarge(maxBytes, 'the decompressed body')
    throw new GatewayError('BAD_REQUEST', `the body is not ${encoding} as its Content-Encoding says`, {}, { cause })
  }
}

/** Rejects also when bytes follow the end of the compressed data: zlib passes over them, and they could say anything. */
function expandWhole(bytes: Buffer, encoding: NonNullable<Encoding>, maxOutputLength: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // With `info`, the result comes with the stream that made it, which the types do not say.
    const done = (error: Error | null, result: unknown): void => {
      if (error !== null) {
        reject(error)
        return
      }
      const { buffer, engine } = result as {
        readonly buffer: Buffer
        readonly engine: { readonly bytesWritten: number }
      }
      if (engine.bytesWritten === bytes.length) resolve(buffer)
      else reject(new Error(`${bytes.length - engine.bytesWritten} bytes follow the compressed data`))
    }
    EXPANDERS[encoding](bytes, { maxOutputLength, info: true }, done)
  })
}

function isTooLarge(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE'
}
