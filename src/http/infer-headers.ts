/** What the headers of an inference ask for, checked; everything wrong with them is a 400 that says what was expected. */
import { GatewayError } from '../domain/errors.ts'
import { printable } from '../domain/model-ref.ts'
import type { RequestHead } from './request-head.ts'

const DIGITS = /^[0-9]{1,15}$/

/** Bytes of the JSON part, undefined when the whole body is JSON. Whether the body is that long is known only once it is here. */
export function readJsonLength(head: RequestHead): number | undefined {
  return head.jsonLength === undefined
    ? undefined
    : wholeNumber('Inference-Header-Content-Length', head.jsonLength, 'bytes of JSON')
}

/** The client's patience in milliseconds, at most `maxMs`. */
export function readTimeout(head: RequestHead, maxMs: number): number | undefined {
  if (head.timeoutMs === undefined) return undefined
  const timeoutMs = wholeNumber('x-modelmux-timeout-ms', head.timeoutMs, 'milliseconds')
  if (timeoutMs === 0)
    throw new GatewayError('BAD_REQUEST', 'the header x-modelmux-timeout-ms is 0; expected at least 1 millisecond')
  return Math.min(timeoutMs, maxMs)
}

export function readIfAbsent(head: RequestHead): 'load' | 'refuse' {
  const { ifAbsent } = head
  if (ifAbsent === undefined || ifAbsent === 'load') return 'load'
  if (ifAbsent === 'refuse') return 'refuse'
  throw new GatewayError(
    'BAD_REQUEST',
    `the header x-modelmux-if-absent is '${printable(ifAbsent)}'; expected load or refuse`,
  )
}

function wholeNumber(name: string, text: string, unit: string): number {
  if (DIGITS.test(text)) return Number(text)
  throw new GatewayError(
    'BAD_REQUEST',
    `the header ${name} is '${printable(text)}'; expected a whole number of ${unit}`,
  )
}
