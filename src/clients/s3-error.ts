/**
 * What can go wrong with a call to S3, in the few kinds that callers treat differently. What the server wrote, and what the SDK keeps
 * beside it (string to sign, headers, bodies), stays behind: an error holds the server's code word, its status and the request's id.
 */

export type S3ErrorKind =
  /** No such object, version or bucket. */
  | 'not-found'
  /** The credentials may not do this, or are not known. */
  | 'forbidden'
  /** Another object is at the key than the one asked for (412), or somebody else wrote there at the same time (409). */
  | 'replaced'
  /** The object does not have the bytes asked for (416). */
  | 'range'
  /** The server asks for fewer requests (503 SlowDown, 429). */
  | 'slow-down'
  /** No answer, half an answer, or a failure of the server: it may work in a while. */
  | 'unavailable'
  /** Refused for good: bad request, wrong region, no region or credentials here, a server without ranges. */
  | 'refused'

export class S3Error extends Error {
  override readonly name = 'S3Error'
  readonly kind: S3ErrorKind

  constructor(kind: S3ErrorKind, message: string) {
    super(message)
    this.kind = kind
  }
}

/** What the SDK's errors have that may be shown. */
interface Thrown {
  readonly name?: unknown
  readonly code?: unknown
  readonly $metadata?: { readonly httpStatusCode?: unknown; readonly requestId?: unknown }
}

const WORD = /^[A-Za-z][A-Za-z0-9_.]{0,63}$/
const REQUEST_ID = /^[A-Za-z0-9_-]{1,64}/
const SLOW_DOWN = new Set([
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'TooManyRequestsException',
  'RequestLimitExceeded',
])
/** Errors of this side, before anything was sent. */
const LOCAL: Readonly<Record<string, string>> = {
  CredentialsProviderError:
    'there are no AWS credentials here: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role',
  TokenProviderError: 'the AWS sign-in has expired',
}

/** Any thrown value of an S3 call. @throws the signal's reason when that is why the call ended */
export function asS3Error(thrown: unknown, signal?: AbortSignal): S3Error {
  signal?.throwIfAborted()
  if (thrown instanceof S3Error) return thrown
  const { name, code, $metadata } = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as Thrown
  const status = typeof $metadata?.httpStatusCode === 'number' ? $metadata.httpStatusCode : undefined
  const word = typeof name === 'string' && WORD.test(name) ? name : 'Unknown'
  if (status !== undefined && status >= 300) {
    const id = typeof $metadata?.requestId === 'string' ? REQUEST_ID.exec($metadata.requestId)?.[0] : undefined
    return new S3Error(
      kindOf(status, word),
      `S3 answered ${status} ${word}${id === undefined ? '' : `, request ${id}`}`,
    )
  }
  const local = LOCAL[word]
  if (local !== undefined) return new S3Error('refused', local)
  if (thrown instanceof Error && thrown.message === 'Region is missing')
    return new S3Error('refused', 'there is no AWS region here: set store.s3.region or AWS_REGION')
  const reason = typeof code === 'string' && WORD.test(code) ? code : word
  return new S3Error('unavailable', `S3 does not answer: ${reason}`)
}

function kindOf(status: number, word: string): S3ErrorKind {
  if (status === 429 || SLOW_DOWN.has(word)) return 'slow-down'
  if (status >= 500) return 'unavailable'
  switch (status) {
    case 401:
    case 403:
      return 'forbidden'
    // 405: the newest version of the object is a delete marker.
    case 404:
    case 405:
    case 410:
      return 'not-found'
    case 408:
      return 'unavailable'
    case 409:
    case 412:
      return 'replaced'
    case 416:
      return 'range'
    default:
      return 'refused'
  }
}
