/**
 * The headers that the HTTP layer itself needs, found in one pass over Node's raw list: building Node's joined object costs more
 * than reading what is wanted. What an inference asks for is read by `protocol/`; here it only gets a name to be remembered by.
 */
import { INFER_HEADERS } from '../protocol/headers.ts'

export interface RequestHead {
  readonly requestId: string | undefined
  readonly contentLength: string | undefined
  /** Repeats joined by a comma, as HTTP reads them; the same for the three below. */
  readonly contentEncoding: string | undefined
  readonly transferEncoding: string | undefined
  readonly acceptEncoding: string | undefined
  readonly host: string | undefined
  /** Repeated, it is none; `tracestate` may be. */
  readonly traceparent: string | undefined
  readonly tracestate: string | undefined
  /** Equal for requests whose inference headers are equal; '' when there are none. */
  readonly inferKey: string
}

/** Lengths of the names of inference headers: what has one of them goes into the key, whether it is one or not. */
const INFER_LENGTHS: ReadonlySet<number> = new Set(INFER_HEADERS.map((name) => name.length))

export function readHead(rawHeaders: readonly string[]): RequestHead {
  let requestId: string | undefined
  let contentLength: string | undefined
  let contentEncoding: string | undefined
  let transferEncoding: string | undefined
  let acceptEncoding: string | undefined
  let host: string | undefined
  let traceparent: string | undefined
  let tracestate: string | undefined
  let inferKey = ''
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    const value = rawHeaders[i + 1] ?? ''
    if (INFER_LENGTHS.has(name.length)) inferKey += `\n${name}\n${value}`
    else if (name.length === 4 && isNamed(name, 'host')) host = joined(host, value)
    else if (name.length === 10 && isNamed(name, 'tracestate')) tracestate = joined(tracestate, value)
    else if (name.length === 11 && isNamed(name, 'traceparent')) traceparent = joined(traceparent, value)
    else if (name.length === 12 && isNamed(name, 'x-request-id')) requestId ??= value
    else if (name.length === 14 && isNamed(name, 'content-length')) contentLength = value
    else if (name.length === 15 && isNamed(name, 'accept-encoding')) acceptEncoding = joined(acceptEncoding, value)
    else if (name.length === 16 && isNamed(name, 'content-encoding')) contentEncoding = joined(contentEncoding, value)
    else if (name.length === 17 && isNamed(name, 'transfer-encoding'))
      transferEncoding = joined(transferEncoding, value)
  }
  return {
    requestId,
    contentLength,
    contentEncoding,
    transferEncoding,
    acceptEncoding,
    host,
    traceparent,
    tracestate,
    inferKey,
  }
}

function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before}, ${value}`
}

function isNamed(name: string, wanted: string): boolean {
  return name.toLowerCase() === wanted
}
