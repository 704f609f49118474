/**
 * Heads that the parser lets pass though two readers in a row may understand them differently: where a request ends, and which site it
 * is for. They are refused before anything is done, and their connection is closed, for what follows on it may not be a request at all.
 */
import { GatewayError } from '../domain/errors.ts'
import { printable } from '../domain/model-ref.ts'
import type { RequestHead } from './request-head.ts'

/** Host and port as RFC 3986 lets them be written, brackets of IPv6 included; repeats of the header are joined by a blank, which is not. */
const HOST = /^[\w.~!$&'()*+,;=%:[\]-]*$/

/** Why the head is refused; undefined when it is fine. `httpVersion`: as in '1.1'. */
export function framingFault(
  { host, transferEncoding }: Pick<RequestHead, 'host' | 'transferEncoding'>,
  httpVersion: string,
): GatewayError | undefined {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return bad(`HTTP/${httpVersion} is not served; use HTTP/1.1`)
  if (host === undefined && httpVersion === '1.1') return bad('an HTTP/1.1 request names its Host, this one does not')
  if (host !== undefined && !HOST.test(host)) return bad(`'${printable(host)}' is not one Host`)
  if (transferEncoding === undefined) return undefined
  // RFC 9112, 6.1: some reader before us may have skipped the header, and taken another end for the body's.
  if (httpVersion !== '1.1') return bad('HTTP/1.0 has no Transfer-Encoding; use HTTP/1.1')
  if (transferEncoding.toLowerCase() === 'chunked') return undefined
  return new GatewayError(
    'UNSUPPORTED',
    `the transfer encoding '${printable(transferEncoding)}' is not served; send chunked alone, and compress with Content-Encoding`,
  )
}

function bad(message: string): GatewayError {
  return new GatewayError('BAD_REQUEST', message)
}
