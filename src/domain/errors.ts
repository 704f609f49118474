/**
 * The one table of everything that can go wrong for a caller, and the one class that carries it.
 *
 * Status, retry advice and blame are columns: code compares `code`, never a message. Errors of libraries
 * (file system, ONNX Runtime, HTTP clients) are wrapped at the border of the room that met them, with `cause`.
 */

/** Who is at fault: the caller, the router, the replica, or what stands behind it (store, registry). */
export type ErrorSource = 'client' | 'router' | 'replica' | 'upstream'
/** What a caller may do: nothing, ask another replica, or come back later (`Retry-After` is sent). */
export type RetryAdvice = 'no' | 'other-replica' | 'later'
/** Whose health record the error belongs in. Only `replica` ejects a replica, only `model` feeds a model's breaker. */
export type CountsAgainst = 'nobody' | 'model' | 'tenant' | 'replica'

interface ErrorRow {
  readonly status: number
  readonly source: ErrorSource
  readonly retry: RetryAdvice
  readonly countsAgainst: CountsAgainst
  /** What the situation is, for the documentation; the message of an instance says the particulars. */
  readonly meaning: string
}

export const ERRORS = {
  MODEL_REQUIRED: row(400, 'client', 'no', 'nobody', 'no model is named in path or header'),
  BAD_MODEL_REF: row(
    400,
    'client',
    'no',
    'nobody',
    'the model id breaks the grammar, is repeated, or path, header and body disagree',
  ),
  BAD_REQUEST: row(400, 'client', 'no', 'nobody', 'the body is not an inference request'),
  TENSOR_MISMATCH: row(
    400,
    'client',
    'no',
    'nobody',
    'a tensor is missing, unknown, or of another type, shape or byte count than the model wants',
  ),
  BAD_INPUT_VALUE: row(400, 'client', 'no', 'nobody', 'the model refuses a value, such as an index out of range'),
  MODEL_NOT_FOUND: row(404, 'client', 'no', 'nobody', 'the registry knows no such model'),
  VERSION_NOT_FOUND: row(404, 'client', 'no', 'nobody', 'the model has no such version'),
  ALIAS_NOT_FOUND: row(
    404,
    'client',
    'no',
    'nobody',
    'the model has no such alias, or it names a version that does not exist',
  ),
  NOT_FOUND: row(404, 'client', 'no', 'nobody', 'no such URL'),
  METHOD_NOT_ALLOWED: row(405, 'client', 'no', 'nobody', 'the URL exists, but not for this method'),
  REQUEST_TIMEOUT: row(408, 'client', 'no', 'nobody', 'the request did not arrive in time'),
  BODY_TOO_LARGE: row(
    413,
    'client',
    'no',
    'nobody',
    'the body is larger than the limit, perhaps only after decompression',
  ),
  UNSUPPORTED_ENCODING: row(415, 'client', 'no', 'nobody', 'the content encoding is unknown'),
  MODEL_NOT_HERE: row(
    421,
    'replica',
    'other-replica',
    'nobody',
    'this replica does not hold the model and was asked not to load it',
  ),
  ARTIFACT_INVALID: row(422, 'upstream', 'no', 'model', 'the model file is not ONNX, unsafe, or cannot be compiled'),
  ARTIFACT_CORRUPT: row(422, 'upstream', 'no', 'model', 'the bytes fetched are not the bytes published'),
  MODEL_QUARANTINED: row(
    422,
    'upstream',
    'no',
    'model',
    'the model crashed or hung its process and is refused until released',
  ),
  ARTIFACT_UNREACHABLE: row(
    424,
    'upstream',
    'later',
    'model',
    'the registry lists the version, the store does not give it',
  ),
  QUOTA_EXCEEDED: row(429, 'client', 'later', 'tenant', 'the caller is over its quota'),
  CLIENT_GONE: row(499, 'client', 'no', 'nobody', 'the caller left before the answer (logged only)'),
  INFERENCE_FAILED: row(500, 'replica', 'no', 'model', 'the engine failed on this request'),
  WORKER_CRASHED: row(500, 'replica', 'no', 'model', 'the worker process died under this request'),
  INTERNAL: row(500, 'replica', 'no', 'replica', 'a broken invariant in modelmux'),
  UNSUPPORTED: row(501, 'replica', 'no', 'nobody', 'the protocol has it, modelmux does not'),
  REPLICA_UNREACHABLE: row(
    502,
    'router',
    'no',
    'replica',
    'the replica died under this request and a retry is not safe or not left',
  ),
  OVERLOADED: row(503, 'replica', 'later', 'nobody', 'a queue is full'),
  DRAINING: row(503, 'replica', 'other-replica', 'nobody', 'the server is going away'),
  MODEL_LOADING: row(503, 'replica', 'later', 'nobody', 'the model was still loading when the wait ended'),
  MODEL_LOAD_FAILED: row(
    503,
    'replica',
    'later',
    'model',
    'the load failed for a passing reason and waits out its back-off',
  ),
  STORE_UNAVAILABLE: row(503, 'upstream', 'later', 'nobody', 'the store of model files does not answer'),
  REGISTRY_UNAVAILABLE: row(503, 'upstream', 'later', 'nobody', 'the model registry does not answer'),
  DEVICE_UNAVAILABLE: row(
    503,
    'replica',
    'other-replica',
    'replica',
    'the GPU that models are to run on does not answer',
  ),
  NO_REPLICA: row(503, 'router', 'later', 'nobody', 'no replica can take the request'),
  DEADLINE_EXCEEDED: row(504, 'replica', 'no', 'nobody', 'the deadline of the request passed'),
  MODEL_TOO_LARGE: row(507, 'replica', 'no', 'model', 'the model is larger than the whole memory budget'),
  CAPACITY_EXHAUSTED: row(507, 'replica', 'later', 'nobody', 'everything resident is pinned or in use'),
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof ERRORS

/** Facts that travel with an error into the answer and the log; values are plain JSON. */
export interface ErrorFacts {
  readonly model?: string
  readonly version?: string
  /** The replica that said so, and what its cache did for the request until then. */
  readonly replica?: string
  readonly cache?: string
  /** When to come back, in milliseconds from now; becomes `Retry-After`, rounded up to seconds. */
  readonly retryAfterMs?: number
  /** Anything else worth showing (sizes, limits, phases); never secrets, never bytes of a request. */
  readonly details?: Readonly<Record<string, string | number | boolean>>
}

/** An error with a row in the table. The message says what was wrong with its value, what was expected, and what to do. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError'
  readonly code: ErrorCode
  readonly facts: ErrorFacts

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}, options: { cause?: unknown } = {}) {
    super(message, options)
    this.code = code
    this.facts = facts
  }

  get status(): number {
    return ERRORS[this.code].status
  }
}

/** Any thrown value as a GatewayError; what is not one of ours is a broken invariant. */
export function asGatewayError(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown
  return new GatewayError(
    'INTERNAL',
    'modelmux met an error it does not know; the log has it under this request id',
    {},
    { cause: thrown },
  )
}

function row(
  status: number,
  source: ErrorSource,
  retry: RetryAdvice,
  countsAgainst: CountsAgainst,
  meaning: string,
): ErrorRow {
  return { status, source, retry, countsAgainst, meaning }
}
