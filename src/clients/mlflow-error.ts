/**
 * What can go wrong with a call to MLflow, in the few kinds that callers treat differently. What the server or a proxy before it wrote
 * stays behind, as it may hold anything: an error has the server's code word and its status.
 */

export type MlflowErrorKind =
  /** No such model, version, alias or artifact. */
  | 'not-found'
  /** The server, or what answers in its place, does not know this call: an older server, or no MLflow at all. */
  | 'no-endpoint'
  /** The credentials may not do this, are missing, or are not known. */
  | 'forbidden'
  /** It is there already, or somebody else changed it at the same time. */
  | 'conflict'
  /** The server asks for fewer requests. */
  | 'slow-down'
  /** No answer, half an answer, or a failure of the server: it may work in a while. */
  | 'unavailable'
  /** Refused for good: by the server, or by this side because of what was asked or answered. */
  | 'refused'

export class MlflowError extends Error {
  override readonly name = 'MlflowError'
  readonly kind: MlflowErrorKind
  /** The server's code word. */
  readonly word: string | undefined
  /** When the server asked to come back, from then. */
  readonly retryAfterMs: number | undefined

  constructor(
    kind: MlflowErrorKind,
    message: string,
    { word, retryAfterMs }: { readonly word?: string | undefined; readonly retryAfterMs?: number | undefined } = {},
  ) {
    super(message)
    this.kind = kind
    this.word = word
    this.retryAfterMs = retryAfterMs
  }
}

const WORD = /^[A-Za-z][A-Za-z0-9_.]{0,63}$/
/** The code words that say more than the status they come with, which differs between versions of MLflow. */
const KINDS: Readonly<Record<string, MlflowErrorKind>> = {
  RESOURCE_DOES_NOT_EXIST: 'not-found',
  NOT_FOUND: 'not-found',
  ENDPOINT_NOT_FOUND: 'no-endpoint',
  NOT_IMPLEMENTED: 'no-endpoint',
  FEATURE_DISABLED: 'no-endpoint',
  RESOURCE_ALREADY_EXISTS: 'conflict',
  ALREADY_EXISTS: 'conflict',
  RESOURCE_CONFLICT: 'conflict',
  ABORTED: 'conflict',
  UNAUTHENTICATED: 'forbidden',
  PERMISSION_DENIED: 'forbidden',
  CUSTOMER_UNAUTHORIZED: 'forbidden',
  REQUEST_LIMIT_EXCEEDED: 'slow-down',
  RESOURCE_EXHAUSTED: 'slow-down',
}

/** An answer that is none of what was asked for. `body` is its text, or as much as was read of it. */
export function answeredError(status: number, body: string, retryAfterMs?: number): MlflowError {
  const word = codeWordOf(body)
  const kind = (word === undefined ? undefined : KINDS[word]) ?? kindOf(status, word !== undefined)
  const hint = status >= 300 && status < 400 ? ': redirects are not followed' : ''
  return new MlflowError(kind, `MLflow answered ${status}${word === undefined ? '' : ` ${word}`}${hint}`, {
    word,
    retryAfterMs: kind === 'slow-down' || kind === 'unavailable' ? retryAfterMs : undefined,
  })
}

/** Any value that a call threw before it had an answer. @throws the signal's reason when that is why the call ended */
export function asMlflowError(thrown: unknown, signal?: AbortSignal): MlflowError {
  signal?.throwIfAborted()
  if (thrown instanceof MlflowError) return thrown
  const code = typeof thrown === 'object' && thrown !== null && 'code' in thrown ? thrown.code : undefined
  const reason = typeof code === 'string' && WORD.test(code) ? code : 'the connection failed'
  return new MlflowError('unavailable', `MLflow does not answer: ${reason}`)
}

/** `error_code` of the JSON that MLflow itself writes; proxies and auth plugins write HTML or plain text. */
function codeWordOf(body: string): string | undefined {
  if (!body.trimStart().startsWith('{')) return undefined
  try {
    const { error_code: word } = JSON.parse(body) as { readonly error_code?: unknown }
    return typeof word === 'string' && WORD.test(word) ? word : undefined
  } catch {
    return undefined
  }
}

function kindOf(status: number, isMlflow: boolean): MlflowErrorKind {
  switch (status) {
    case 401:
    case 403:
    case 407:
      return 'forbidden'
    // Without a word of MLflow's it is the URL that is not there.
    case 404:
    case 410:
      return isMlflow ? 'not-found' : 'no-endpoint'
    case 405:
    case 501:
      return 'no-endpoint'
    case 408:
      return 'unavailable'
    case 409:
      return 'conflict'
    case 429:
      return 'slow-down'
    default:
      return status >= 500 ? 'unavailable' : 'refused'
  }
}
