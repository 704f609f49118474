/**
 * The headers that matter to an inference, found in one pass over Node's raw list: the joined form hides repeats, and
 * building it costs more than reading what is needed. Values are not interpreted here, except for what must not be repeated.
 */
import { GatewayError } from '../domain/errors.ts'

export interface RequestHead {
  /** Every header that names a model, as `name, value` pairs in order of arrival; undefined = none, the usual case for URLs that name one. */
  readonly modelHeaders: readonly string[] | undefined
  readonly requestId: string | undefined
  readonly contentLength: string | undefined
  readonly contentEncoding: string | undefined
  /** `Inference-Header-Content-Length`. */
  readonly jsonLength: string | undefined
  /** `x-modelmux-timeout-ms`. */
  readonly timeoutMs: string | undefined
  /** `x-modelmux-if-absent`. */
  readonly ifAbsent: string | undefined
}

type Field = Exclude<keyof RequestHead, 'modelHeaders'>

const WANTED: readonly (readonly [name: string, field: Field | 'model'])[] = [
  ['serve_multiplexed_model_id', 'model'],
  ['serve-multiplexed-model-id', 'model'],
  ['x-amzn-sagemaker-target-model', 'model'],
  ['x-request-id', 'requestId'],
  ['content-length', 'contentLength'],
  ['content-encoding', 'contentEncoding'],
  ['inference-header-content-length', 'jsonLength'],
  ['x-modelmux-timeout-ms', 'timeoutMs'],
  ['x-modelmux-if-absent', 'ifAbsent'],
]
/** By length of the name, so that most headers are passed over without looking at their letters. */
const BY_LENGTH = new Map(
  WANTED.map(([name]) => [name.length, WANTED.filter(([other]) => other.length === name.length)]),
)

/** @throws GatewayError BAD_REQUEST when a header that may come once comes again with another value */
export function readHead(rawHeaders: readonly string[]): RequestHead {
  const head: { -readonly [K in Field]: string | undefined } & { modelHeaders: string[] | undefined } = {
    modelHeaders: undefined,
    requestId: undefined,
    contentLength: undefined,
    contentEncoding: undefined,
    jsonLength: undefined,
    timeoutMs: undefined,
    ifAbsent: undefined,
  }
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    const known = BY_LENGTH.get(name.length)
    if (known === undefined) continue
    const lower = name.toLowerCase()
    for (const [wanted, field] of known) {
      if (lower !== wanted) continue
      const value = rawHeaders[i + 1] ?? ''
      if (field === 'model') (head.modelHeaders ??= []).push(lower, value)
      else if (head[field] === undefined) head[field] = value
      // A second id only names the request again; any other repeat could be read in two ways.
      else if (field !== 'requestId')
        throw new GatewayError('BAD_REQUEST', `the header ${wanted} is there more than once; send it once`)
    }
  }
  return head
}
