/**
 * Which model an inference request means and under which terms, from its URL and raw headers. The body is never looked at.
 *
 * Raw headers are read rather than Node's merged ones, because a repeated header, or the two spellings of the model header together,
 * must be seen as such: they are refused, never a silent winner.
 */
import { GatewayError } from '../domain/errors.ts'
import type { ModelRef } from '../domain/model-ref.ts'
import { badRef, formatModelRef, isVersion, parseModelRef, printable } from '../domain/model-ref.ts'

/** What the headers of an inference request say; absent where they say nothing. */
export interface InferHeaders {
  readonly ref?: ModelRef
  readonly timeoutMs?: number
  readonly ifAbsent: 'load' | 'refuse'
  readonly coldStart?: 'wait' | 'refuse'
  /** Bytes of the JSON part of the (decompressed) body; 0 = the body is one tensor's raw bytes. */
  readonly jsonBytes?: number
}

/** An inference URL; `ref` is absent for the one without a model in its path. */
export interface InferPath {
  readonly ref?: ModelRef
}

const MODEL = 'serve_multiplexed_model_id'
const TIMEOUT = 'x-modelmux-timeout-ms'
const IF_ABSENT = 'x-modelmux-if-absent'
const COLD_START = 'x-modelmux-cold-start'
const JSON_BYTES = 'inference-header-content-length'

/** Every header that `readInferHeaders` looks at, in lower case; what it returns depends on nothing else. */
export const INFER_HEADERS: readonly string[] = [MODEL, TIMEOUT, IF_ABSENT, COLD_START, JSON_BYTES]

const MODELS_PREFIX = '/v2/models/'
const INFER_SUFFIX = '/infer'
const HEADER_ONLY_PATH = '/v2/infer'

/**
 * `rawHeaders`: names and values in turn, as Node's `IncomingMessage` has them.
 * @throws GatewayError BAD_MODEL_REF for the model header, BAD_REQUEST for the others
 */
export function readInferHeaders(rawHeaders: readonly string[]): InferHeaders {
  let model: string | undefined
  let timeout: string | undefined
  let ifAbsent: string | undefined
  let coldStart: string | undefined
  let jsonBytes: string | undefined
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    // Of the headers that clients send, few have one of these lengths; only they are looked at closer.
    switch (name.length) {
      case MODEL.length:
        if (isModelHeader(name)) model = once(model, rawHeaders[i + 1], MODEL, 'BAD_MODEL_REF')
        break
      case TIMEOUT.length:
        // As long as the other one.
        if (name.toLowerCase() === TIMEOUT) timeout = once(timeout, rawHeaders[i + 1], TIMEOUT, 'BAD_REQUEST')
        if (name.toLowerCase() === COLD_START) coldStart = once(coldStart, rawHeaders[i + 1], COLD_START, 'BAD_REQUEST')
        break
      case IF_ABSENT.length:
        if (name.toLowerCase() === IF_ABSENT) ifAbsent = once(ifAbsent, rawHeaders[i + 1], IF_ABSENT, 'BAD_REQUEST')
        break
      case JSON_BYTES.length:
        if (name.toLowerCase() === JSON_BYTES) jsonBytes = once(jsonBytes, rawHeaders[i + 1], JSON_BYTES, 'BAD_REQUEST')
        break
    }
  }
  return {
    ...(model === undefined ? {} : { ref: parseModelHeader(model) }),
    ...(timeout === undefined ? {} : { timeoutMs: parseTimeout(timeout) }),
    ifAbsent: ifAbsent === undefined ? 'load' : parseIfAbsent(ifAbsent),
    ...(coldStart === undefined ? {} : { coldStart: parseColdStart(coldStart) }),
    ...(jsonBytes === undefined ? {} : { jsonBytes: parseJsonBytes(jsonBytes) }),
  }
}

/** Any spelling of the model header: any case, `-` as good as `_`. All of them are to be stripped before a request is forwarded. */
export function isModelHeader(name: string): boolean {
  return name.length === MODEL.length && name.toLowerCase().replaceAll('-', '_') === MODEL
}

/**
 * Reads `/v2/infer` and `/v2/models/{name}[/versions/{version}]/infer`, where slashes of the name may be raw or `%2F`: the URL is
 * matched from both ends. Undefined for every other URL. @throws GatewayError BAD_MODEL_REF
 */
export function matchInferPath(url: string): InferPath | undefined {
  const query = url.indexOf('?')
  const path = query === -1 ? url : url.slice(0, query)
  if (path === HEADER_ONLY_PATH) return {}
  if (!path.endsWith(INFER_SUFFIX) || !path.startsWith(MODELS_PREFIX)) return undefined
  if (path.length < MODELS_PREFIX.length + INFER_SUFFIX.length) return undefined
  return { ref: readPathRef(path.slice(MODELS_PREFIX.length, -INFER_SUFFIX.length)) }
}

/** `{name}` or `{name}/versions/{version}` as they stand in a URL, not yet decoded; also for routes other than inference. */
export function readPathRef(text: string): ModelRef {
  const versions = text.lastIndexOf('/versions/')
  if (versions === -1 || text.includes('/', versions + '/versions/'.length)) return parseModelRef(decodeOnce(text))
  const ref = parseModelRef(decodeOnce(text.slice(0, versions)))
  const version = decodeOnce(text.slice(versions + '/versions/'.length))
  if (!isVersion(version))
    throw badRef(`${formatModelRef(ref)}:${version}`, `the version '${printable(version)}' is not a number`)
  return agree(ref, { name: ref.name, version }, 'the path')
}

/**
 * The one model that path and header mean together. Their names must be equal; one of them may add a version or an alias.
 * @throws GatewayError MODEL_REQUIRED when neither names a model, BAD_MODEL_REF when they disagree
 */
export function combineRefs(fromPath: ModelRef | undefined, fromHeader: ModelRef | undefined): ModelRef {
  if (fromPath !== undefined && fromHeader !== undefined) return agree(fromPath, fromHeader, 'path and header')
  const ref = fromPath ?? fromHeader
  if (ref !== undefined) return ref
  throw new GatewayError(
    'MODEL_REQUIRED',
    'no model is named; name it in the path, /v2/models/{name}/infer, or in the header serve-multiplexed-model-id',
  )
}

function agree(a: ModelRef, b: ModelRef, where: string): ModelRef {
  const isPlainA = a.version === undefined && a.alias === undefined
  const isPlainB = b.version === undefined && b.alias === undefined
  const isSame = a.version === b.version && a.alias === b.alias
  if (a.name === b.name && (isSame || isPlainA || isPlainB)) return isPlainA ? b : a
  throw new GatewayError(
    'BAD_MODEL_REF',
    `${where} disagree: '${printable(formatModelRef(a))}' and '${printable(formatModelRef(b))}'`,
  )
}

function once(
  before: string | undefined,
  value: string | undefined,
  name: string,
  code: 'BAD_MODEL_REF' | 'BAD_REQUEST',
): string {
  if (before === undefined) return value ?? ''
  const spellings = code === 'BAD_MODEL_REF' ? ', or in two spellings' : ''
  throw new GatewayError(
    code,
    `the header ${name} is sent more than once${spellings}: '${printable(before)}' and '${printable(value ?? '')}'`,
  )
}

function parseModelHeader(value: string): ModelRef {
  // Node hands header bytes over as latin1: which characters the client meant by these cannot be known.
  if (/[^ -~]/.test(value))
    throw badRef(value, 'bytes outside printable ASCII must be percent-encoded UTF-8 in a header')
  return parseModelRef(decodeOnce(value))
}

function decodeOnce(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    throw badRef(text, 'its percent-encoding is not valid UTF-8')
  }
}

function parseTimeout(value: string): number {
  const timeoutMs = /^[0-9]{1,15}(?:\.[0-9]{1,15})?$/.test(value) ? Number(value) : 0
  if (timeoutMs > 0) return timeoutMs
  throw new GatewayError('BAD_REQUEST', `${TIMEOUT} is '${printable(value)}'; wanted a positive number of milliseconds`)
}

function parseIfAbsent(value: string): 'load' | 'refuse' {
  if (value === 'load' || value === 'refuse') return value
  throw new GatewayError('BAD_REQUEST', `${IF_ABSENT} is '${printable(value)}'; wanted load or refuse`)
}

function parseColdStart(value: string): 'wait' | 'refuse' {
  if (value === 'wait' || value === 'refuse') return value
  throw new GatewayError('BAD_REQUEST', `${COLD_START} is '${printable(value)}'; wanted wait or refuse`)
}

function parseJsonBytes(value: string): number {
  if (/^[0-9]{1,15}$/.test(value)) return Number(value)
  throw new GatewayError(
    'BAD_REQUEST',
    `Inference-Header-Content-Length is '${printable(value)}'; wanted the number of bytes of the JSON`,
  )
}
