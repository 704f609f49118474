/**
 * The JSON part of a body as text and as values. Two things plain JSON.parse does not do are added where a body needs them: the bare
 * words NaN and Infinity that Python writes, and integers beyond 2^53 without loss.
 */
import { isUtf8 } from 'node:buffer'
import { GatewayError } from '../../domain/errors.ts'

/** The longest integer of 64 bits has 20 characters with its sign; longer ones are out of range anyway. */
const LONG_INTEGER = /^-?[0-9]{16,20}$/
const NOT_FINITE = /-?Infinity|NaN/g

export class JsonText {
  /** Depth is unbounded here: walk it only as deep as a shape tells. */
  readonly value: unknown
  readonly #text: string
  #exact: { readonly value: unknown } | undefined

  /** @throws GatewayError BAD_REQUEST when the bytes are not UTF-8 or not JSON */
  constructor(bytes: Buffer) {
    const text = bytes.toString()
    // A replacement character is either the caller's own or the trace of bytes that were not UTF-8.
    if (text.includes('\uFFFD') && !isUtf8(bytes))
      throw new GatewayError('BAD_REQUEST', 'the JSON of the body is not valid UTF-8')
    try {
      this.value = JSON.parse(text)
      this.#text = text
    } catch (error) {
      if (!text.includes('NaN') && !text.includes('Infinity')) throw notJson(error)
      this.#text = quoteBareWords(text)
      this.value = parse(this.#text)
    }
  }

  /** The same value again, with integers of 16 to 20 digits that a double cannot hold as bigint. Thirty times slower than `value`, so it is made once. */
  exact(): unknown {
    this.#exact ??= { value: parse(this.#text, exactInteger) }
    return this.#exact.value
  }
}

function exactInteger(_key: string, value: unknown, ...rest: readonly unknown[]): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
  const source = (rest[0] as { source?: string } | undefined)?.source
  return source !== undefined && LONG_INTEGER.test(source) ? BigInt(source) : value
}

/** The third argument of a reviver, with the source text of a number, is too new for the type library. */
type Reviver = (key: string, value: unknown, ...rest: readonly unknown[]) => unknown

function parse(text: string, reviver?: Reviver): unknown {
  try {
    return JSON.parse(text, reviver)
  } catch (error) {
    throw notJson(error)
  }
}

/** NaN, Infinity and -Infinity outside of strings become strings of the same word. */
function quoteBareWords(text: string): string {
  const parts: string[] = []
  let at = 0
  for (;;) {
    const quote = text.indexOf('"', at)
    parts.push(text.slice(at, quote === -1 ? text.length : quote).replace(NOT_FINITE, '"$&"'))
    if (quote === -1) return parts.join('')
    at = endOfString(text, quote)
    parts.push(text.slice(quote, at))
  }
}

/** Index after the string that begins at `quote`; the text's length when it never ends. */
function endOfString(text: string, quote: number): number {
  let end = text.indexOf('"', quote + 1)
  while (end !== -1) {
    let slashes = 0
    while (text[end - 1 - slashes] === '\\') slashes++
    if (slashes % 2 === 0) return end + 1
    end = text.indexOf('"', end + 1)
  }
  return text.length
}

function notJson(error: unknown): GatewayError {
  // Nesting too deep for a reviver is a RangeError; its words are about our stack, not the caller's text.
  const reason = error instanceof SyntaxError ? error.message : 'it is nested too deep'
  return new GatewayError('BAD_REQUEST', `the body is not JSON: ${reason}`, {}, { cause: error })
}
