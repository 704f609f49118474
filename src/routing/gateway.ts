/**
 * What the HTTP layer sees of everything behind it: one interface, whether one replica runs in this process or many run elsewhere.
 * Every method throws GatewayError only.
 */
import type { InferAnswer, InferRequest, Inspection, ModelState, ModelStatistics } from '../domain/inference.ts'
import type { ModelRef } from '../domain/model-ref.ts'
import type { ModelSettings } from '../domain/model-version.ts'

export type { InferAnswer, InferRequest, ModelState, ModelStatistics, Served, Tally } from '../domain/inference.ts'

export interface ModelMetadata extends Inspection {
  readonly name: string
  /** Versions that the registry has, oldest first. */
  readonly versions: readonly string[]
  readonly version: string
  readonly aliases: Readonly<Record<string, string>>
  /** How its owner wants it run. */
  readonly settings: Pick<ModelSettings, 'batching' | 'intraOpThreads'> & { readonly modelFile: string }
}

export interface IndexRow {
  readonly name: string
  readonly version: string
  readonly state: ModelState
  readonly reason: string
}

export interface Gateway {
  infer(request: InferRequest): Promise<InferAnswer>
  /**
   * Structure only: compiles nothing. `onWalk` is called before a model file has to be walked, which is far dearer than telling what
   * is known; what it throws is thrown instead.
   */
  metadata(ref: ModelRef, signal: AbortSignal, onWalk?: () => void): Promise<ModelMetadata>
  /** Can this be served, resident or on demand? */
  modelReady(
    ref: ModelRef,
  ): Promise<{ readonly isReady: boolean; readonly name: string; readonly version: string; readonly reason: string }>
  /** Every version the registry lists; `READY` ones only when asked. */
  index(options: { readonly readyOnly: boolean }): Promise<readonly IndexRow[]>
  modelNames(): readonly string[]
  /** Resolves when the model is resident and open; what is loaded stays as it is: versions do not change under their key. */
  load(ref: ModelRef, signal: AbortSignal): Promise<{ readonly name: string; readonly version: string }>
  /** Resolves when the model's memory is given back. Its versions stay in the registry; the next request loads it again. */
  unload(ref: ModelRef, signal: AbortSignal): Promise<{ readonly name: string; readonly version: string }>
  statistics(ref?: ModelRef): Promise<readonly ModelStatistics[]>
  /** May traffic be sent here? Undefined when yes, else the reason. */
  notReadyReason(): string | undefined
}
