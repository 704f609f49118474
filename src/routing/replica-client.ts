/** A replica as the router sees it, in this process or elsewhere. Every method throws GatewayError only. */

import type { InferAnswer, InferRequest, Inspection, ModelState, ModelStatistics } from '../domain/inference.ts'
import type { ModelVersion } from '../domain/model-version.ts'

export interface ReplicaClient {
  readonly id: string
  infer(version: ModelVersion, request: InferRequest): Promise<InferAnswer>
  /** Resolves when the model is resident and open in a worker. */
  load(version: ModelVersion, signal: AbortSignal): Promise<void>
  /** Resolves when the model's memory is given back; a model that is not resident is fine. @throws GatewayError CAPACITY_EXHAUSTED for a pinned one */
  unload(key: string, signal: AbortSignal): Promise<void>
  /** `onWalk` is called before a model file has to be walked; what it throws is thrown instead. */
  inspect(version: ModelVersion, signal: AbortSignal, onWalk?: () => void): Promise<Inspection>
  stateOf(key: string): { readonly state: ModelState; readonly reason: string }
  statisticsOf(version: ModelVersion): ModelStatistics | undefined
  /** Undefined when traffic may be sent here, else the reason why not. */
  notReadyReason(): string | undefined
}

/** The registry as the router sees it; look-ups never list or scan. */
export interface VersionDirectory {
  /** @throws GatewayError MODEL_NOT_FOUND, VERSION_NOT_FOUND, ALIAS_NOT_FOUND, MODEL_LOADING */
  resolve(ref: { readonly name: string; readonly version?: string; readonly alias?: string }): ModelVersion
  versionsOf(name: string): readonly ModelVersion[]
  aliasesOf(name: string): Readonly<Record<string, string>>
  names(): readonly string[]
  list(): Iterable<ModelVersion>
}
