/** Small JSON bodies of orders: bounded, optional, and objects or nothing. */
import { GatewayError } from '../domain/errors.ts'
import type { AppContext } from './app-context.ts'
import { expand, readEncoding } from './content-encoding.ts'
import type { ReceiveBudget } from './read-body.ts'
import { readBody } from './read-body.ts'

const MAX_BYTES = 64 * 1024

/**
 * The body as an object without a prototype, so that no key of it can mean anything else; `{}` when there is none.
 * @throws GatewayError BAD_REQUEST, BODY_TOO_LARGE, UNSUPPORTED_ENCODING, CLIENT_GONE
 */
export async function readJsonObject(
  ctx: AppContext,
  budget: ReceiveBudget,
): Promise<Readonly<Record<string, unknown>>> {
  const encoding = readEncoding(ctx.req.headers['content-encoding'])
  const received = await readBody(ctx.req, MAX_BYTES, budget)
  ctx.state.bytesIn = received.bytes
  const { chunks } = encoding === undefined ? received : await expand(received, encoding, MAX_BYTES)
  const text = Buffer.concat(chunks).toString('utf8').trim()
  const object = Object.create(null) as Record<string, unknown>
  if (text === '') return object
  const value = parse(text)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new GatewayError('BAD_REQUEST', 'the body is not a JSON object')
  }
  return Object.assign(object, value)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new GatewayError('BAD_REQUEST', 'the body is not JSON', {}, { cause })
  }
}
