/**
 * URLs below `/v2/models/`, matched from both ends because a model's name may hold slashes, raw or as `%2F`:
 * `/v2/models/` name [`/versions/` version] [`/` action].
 */
import { badRef } from '../domain/model-ref.ts'

export const MODEL_ACTIONS = ['infer', 'ready', 'config', 'stats'] as const
/** `metadata` is the URL without an action. */
export type ModelAction = (typeof MODEL_ACTIONS)[number] | 'metadata'

export interface ModelPath {
  /** Decoded once; not yet checked against the grammar. */
  readonly ref: string
  /** As the URL gives it; not yet checked. */
  readonly version: string | undefined
  readonly action: ModelAction
}

export const MODELS_PREFIX = '/v2/models/'

const ACTIONS: ReadonlySet<string> = new Set(MODEL_ACTIONS)

/**
 * Reads a path without its query, or undefined when it is not below `/v2/models/`.
 * @throws GatewayError BAD_MODEL_REF when the percent-encoding is broken
 */
export function matchModelPath(path: string): ModelPath | undefined {
  if (!path.startsWith(MODELS_PREFIX)) return undefined
  let rest = path.slice(MODELS_PREFIX.length)
  let action: ModelAction = 'metadata'
  const last = lastSegment(rest)
  if (ACTIONS.has(last)) {
    action = last as ModelAction
    rest = cut(rest, last)
  }
  const version = lastSegment(rest)
  const before = cut(rest, version)
  const isVersioned = lastSegment(before) === 'versions' && before.includes('/')
  return isVersioned
    ? { ref: decodeOnce(cut(before, 'versions')), version: decodeOnce(version), action }
    : { ref: decodeOnce(rest), version: undefined, action }
}

/** @throws GatewayError BAD_MODEL_REF */
export function decodeOnce(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    throw badRef(text, 'its percent-encoding is broken')
  }
}

function lastSegment(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** The path without its last segment and the slash before it; what has no slash is used up. */
function cut(path: string, segment: string): string {
  return path.slice(0, Math.max(0, path.length - segment.length - 1))
}
