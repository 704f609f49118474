/**
 * Names of models: the grammar of a ModelRef, and the tenant a name belongs to.
 *
 *   ref = name | name ":" version | name "@" alias
 *   name = 1 to 4 segments joined by "/", 256 bytes of UTF-8 at most
 *   segment = 1 to 128 bytes of printable Unicode in NFC without / : @ ? # % \ ; not "." or ".."; no blank at either end
 *
 * Names are compared byte for byte and never become file names of ours.
 */
import { GatewayError } from './errors.ts'

/** What a client asks for. At most one of `version` and `alias` is set; neither means "the version served by default". */
export interface ModelRef {
  readonly name: string
  readonly version?: string
  readonly alias?: string
}

const NAME_MAX_BYTES = 256
const SEGMENT_MAX_BYTES = 128
const MAX_SEGMENTS = 4
const VERSION = /^[0-9]{1,18}$/
// Controls, format characters (bidi overrides, zero-width), surrogates, private use, line and paragraph separators.
const NOT_PRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/u
const RESERVED = /[/:@?#%\\]/

/** URL words that may not end a name, because a URL could then be read in two ways. */
export const ROUTE_WORDS: ReadonlySet<string> = new Set([
  'infer',
  'ready',
  'versions',
  'stats',
  'config',
  'load',
  'unload',
  'generate',
  'generate_stream',
  'index',
])

/** Why a name is not one, or undefined when it is. */
export function nameProblem(name: string): string | undefined {
  if (name === '') return 'it is empty'
  if (Buffer.byteLength(name) > NAME_MAX_BYTES) return `it is longer than ${NAME_MAX_BYTES} bytes`
  const segments = name.split('/')
  if (segments.length > MAX_SEGMENTS) return `it has ${segments.length} segments, at most ${MAX_SEGMENTS} are allowed`
  for (const segment of segments) {
    const problem = segmentProblem(segment)
    if (problem !== undefined) return problem
  }
  if (segments.length > 2 && segments.at(-2) === 'versions')
    return `'versions' before its last segment would make that a version in a URL`
  if (ROUTE_WORDS.has(segments.at(-1) ?? '')) return `its last segment '${segments.at(-1)}' is a word of the URL`
  return undefined
}

/** Why an alias is not one, or undefined when it is. An alias is one segment. */
export function aliasProblem(alias: string): string | undefined {
  return alias.includes('/') ? 'an alias has no slash' : segmentProblem(alias)
}

export function isVersion(version: string): boolean {
  return VERSION.test(version)
}

/**
 * Reads a ref that has been percent-decoded exactly once (or never needed to be).
 * @throws GatewayError BAD_MODEL_REF
 */
export function parseModelRef(text: string): ModelRef {
  const mark = text.search(/[:@]/)
  const name = mark === -1 ? text : text.slice(0, mark)
  const problem = nameProblem(name)
  if (problem !== undefined) throw badRef(text, problem)
  if (mark === -1) return { name }
  const rest = text.slice(mark + 1)
  if (text[mark] === ':') {
    if (!isVersion(rest)) throw badRef(text, `the version '${printable(rest)}' is not a number`)
    return { name, version: rest }
  }
  const badAlias = aliasProblem(rest)
  if (badAlias !== undefined) throw badRef(text, badAlias)
  return { name, alias: rest }
}

export function formatModelRef(ref: ModelRef): string {
  if (ref.version !== undefined) return `${ref.name}:${ref.version}`
  return ref.alias === undefined ? ref.name : `${ref.name}@${ref.alias}`
}

/** The tenant of a name: its first segment when it has several, else the name itself. */
export function tenantOf(name: string): string {
  const slash = name.indexOf('/')
  return slash === -1 ? name : name.slice(0, slash)
}

export function badRef(text: string, problem: string): GatewayError {
  return new GatewayError(
    'BAD_MODEL_REF',
    `'${printable(text)}' is not a model id: ${problem}; expected name, name:version or name@alias`,
  )
}

/** Untrusted text made safe for one line of a message: control characters escaped, length bounded. */
export function printable(text: string): string {
  const cut = text.length > 200 ? `${text.slice(0, 200)}…` : text
  return cut.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (c) => `\\u${(c.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  )
}

function segmentProblem(segment: string): string | undefined {
  if (segment === '') return 'it has an empty segment'
  if (segment === '.' || segment === '..') return `'${segment}' is not a segment`
  if (Buffer.byteLength(segment) > SEGMENT_MAX_BYTES) return `a segment is longer than ${SEGMENT_MAX_BYTES} bytes`
  if (RESERVED.test(segment)) return 'a segment holds one of / : @ ? # % \\'
  if (NOT_PRINTABLE.test(segment)) return 'it holds a character that does not print'
  if (/^\s|\s$/u.test(segment)) return 'a segment begins or ends with a blank'
  if (segment.normalize('NFC') !== segment) return 'it is not in Unicode normal form C'
  return undefined
}
