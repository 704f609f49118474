/**
 * URLs below `/v2/models/` that ask about a model, matched from both ends because its name may hold slashes, raw or as `%2F`:
 * `/v2/models/` name [`/versions/` version] [`/` action].
 */
import type { ModelRef } from '../domain/model-ref.ts'
import { readPathRef } from '../protocol/headers.ts'

/** `metadata` is the URL without an action. */
export const MODEL_ACTIONS = ['infer', 'ready', 'config', 'stats', 'metadata'] as const
export type ModelAction = (typeof MODEL_ACTIONS)[number]

export interface ModelPath {
  readonly action: ModelAction
  /** The path's text between prefix and action, as it stands there. */
  readonly model: string
  readonly isVersioned: boolean
}

export const MODELS_PREFIX = '/v2/models/'

/** Takes a path below `MODELS_PREFIX` apart, without its query. Checks nothing: `refOf` does. */
export function splitModelPath(path: string): ModelPath {
  const rest = path.slice(MODELS_PREFIX.length)
  const action = MODEL_ACTIONS.find((word) => word !== 'metadata' && rest.endsWith(`/${word}`)) ?? 'metadata'
  const model = action === 'metadata' ? rest : rest.slice(0, -action.length - 1)
  return { action, model, isVersioned: /.\/versions\/[^/]*$/.test(model) }
}

/** @throws GatewayError BAD_MODEL_REF */
export function refOf({ model }: ModelPath): ModelRef {
  return readPathRef(model)
}
