/**
 * Which model a request means: from its URL, from the multiplexing header in either spelling, or from both. They must name the
 * same model; one of them may add a version or an alias. Nothing wins silently.
 */
import { GatewayError } from '../domain/errors.ts'
import { badRef, formatModelRef, isVersion, parseModelRef, printable } from '../domain/model-ref.ts'
import type { ModelRef } from '../domain/model-ref.ts'
import { decodeOnce } from './model-path.ts'
import type { ModelPath } from './model-path.ts'

/**
 * @param path the URL's model, undefined for `/v2/infer`
 * @param headers `name, value` pairs of every header that names a model, names in lower case
 * @throws GatewayError MODEL_REQUIRED when nothing names one, BAD_MODEL_REF when they do so badly or differently
 */
export function modelOf(path: ModelPath | undefined, headers: readonly string[] | undefined): ModelRef {
  const fromPath = path === undefined ? undefined : refOfPath(path)
  const fromHeaders = headers === undefined ? undefined : refOfHeaders(headers)
  if (fromPath !== undefined && fromHeaders !== undefined) return agree(fromPath, fromHeaders)
  const ref = fromPath ?? fromHeaders
  if (ref === undefined) {
    throw new GatewayError(
      'MODEL_REQUIRED',
      'no model is named; use POST /v2/models/{model}/infer or send the header serve-multiplexed-model-id',
    )
  }
  return ref
}

/** @throws GatewayError BAD_MODEL_REF */
export function refOfPath({ ref, version }: Pick<ModelPath, 'ref' | 'version'>): ModelRef {
  const parsed = parseModelRef(ref)
  if (version === undefined) return parsed
  if (!isVersion(version))
    throw badRef(`${ref}/versions/${version}`, `the version '${printable(version)}' is not a number`)
  return agree(parsed, { name: parsed.name, version })
}

function refOfHeaders(headers: readonly string[]): ModelRef {
  let ref: ModelRef | undefined
  const seen = new Set<string>()
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? ''
    if (seen.has(name))
      throw new GatewayError('BAD_MODEL_REF', `the header ${name} is there more than once; send it once`)
    seen.add(name)
    const next = parseModelRef(decodeOnce(utf8(headers[i + 1] ?? '')))
    ref = ref === undefined ? next : agree(ref, next)
  }
  if (ref === undefined) throw new GatewayError('MODEL_REQUIRED', 'no model is named')
  return ref
}

/** Header values arrive as one character a byte. */
function utf8(value: string): string {
  return Buffer.from(value, 'latin1').toString('utf8')
}

function agree(a: ModelRef, b: ModelRef): ModelRef {
  if (a.name !== b.name) throw disagree(a, b)
  if (isBare(a)) return b
  if (isBare(b) || (a.version === b.version && a.alias === b.alias)) return a
  throw disagree(a, b)
}

function isBare(ref: ModelRef): boolean {
  return ref.version === undefined && ref.alias === undefined
}

function disagree(a: ModelRef, b: ModelRef): GatewayError {
  return new GatewayError(
    'BAD_MODEL_REF',
    `the request names two models: '${printable(formatModelRef(a))}' and '${printable(formatModelRef(b))}'; name one`,
  )
}
