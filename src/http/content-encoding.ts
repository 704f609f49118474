/** Compressed request bodies: gzip and deflate (a zlib stream, as HTTP means it), expanded to a bounded size. */
import { promisify } from 'node:util'
import { gunzip, inflate } from 'node:zlib'
import { GatewayError } from '../domain/errors.ts'
import { printable } from '../domain/model-ref.ts'
import type { Body } from './read-body.ts'
import { bodyTooLarge } from './read-body.ts'

const EXPANDERS = { gzip: promisify(gunzip), 'x-gzip': promisify(gunzip), deflate: promisify(inflate) } as const

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

/** @throws GatewayError BODY_TOO_LARGE as soon as the output passes `maxBytes`, BAD_REQUEST for broken data */
export async function expand(body: Body, encoding: Encoding, maxBytes: number): Promise<Body> {
  if (encoding === undefined) return body
  try {
    const expanded = await EXPANDERS[encoding](Buffer.concat(body.chunks), { maxOutputLength: maxBytes })
    return { chunks: [expanded], bytes: expanded.length }
  } catch (cause) {
    if (isTooLarge(cause)) throw bodyTooLarge(maxBytes, 'the decompressed body')
    throw new GatewayError('BAD_REQUEST', `the body is not ${encoding} as its Content-Encoding says`, {}, { cause })
  }
}

function isTooLarge(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE'
}
