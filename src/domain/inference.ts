/** An inference between the rooms: what came in, what goes out, and the sums kept over them. */
import type { ModelRef } from './model-ref.ts'
import type { CacheOutcome, PhaseTimings } from './phases.ts'
import type { Signature } from './tensor-types.ts'

/** A span of a trace, as hex digits. */
export interface SpanRef {
  /** 32 of them. */
  readonly traceId: string
  /** 16 of them. */
  readonly spanId: string
}

/** An inference as it came in: headers understood, body opaque. */
export interface InferRequest {
  readonly requestId: string
  readonly ref: ModelRef
  /** Its span, when it is sampled: for links of what others do on its behalf. */
  readonly span?: SpanRef
  /** The whole body, in chunks as they arrived. */
  readonly body: readonly Buffer[]
  readonly bodyBytes: number
  /** Bytes of the JSON part when binary tensors follow it; undefined = the whole body is JSON. */
  readonly jsonBytes?: number
  /** The client's own patience in milliseconds from arrival; the model's or the server's default where absent. */
  readonly timeoutMs?: number
  /** `refuse`: answer MODEL_NOT_HERE rather than load. */
  readonly ifAbsent: 'load' | 'refuse'
  /** `refuse`: begin the load of a model that is not resident, and answer MODEL_LOADING at once. */
  readonly coldStart?: 'wait' | 'refuse'
  /** Aborts when the client leaves: ends this request's wait, never a load. */
  readonly signal: AbortSignal
}

/** Which model answered, and how. Sent with every answer, also with errors as far as it is known. */
export interface Served {
  readonly model: string
  readonly version: string
  readonly replica: string
  readonly cache: CacheOutcome
  /** Milliseconds by phase. */
  readonly timings: PhaseTimings
  /** Rows in the run this request was part of; 1 when it ran alone. */
  readonly batchRows: number
}

export interface InferAnswer {
  readonly served: Served
  readonly body: Buffer
  /** Bytes of the JSON part when binary tensors follow it. */
  readonly jsonBytes?: number
}

export type ModelState = 'READY' | 'LOADING' | 'UNLOADING' | 'UNAVAILABLE'

/** Sums since start; durations in nanoseconds with the number of times each was measured. */
export interface ModelStatistics {
  readonly name: string
  readonly version: string
  /** Milliseconds since 1970 of the last answer; 0 = none. */
  readonly lastInferenceMs: number
  /** Requests answered, and runs of the engine that took (a stacked run counts once). */
  readonly inferenceCount: number
  readonly executionCount: number
  readonly success: Tally
  readonly fail: Tally
  readonly queue: Tally
  readonly computeInput: Tally
  readonly computeInfer: Tally
  readonly computeOutput: Tally
  readonly cacheHit: Tally
  readonly cacheMiss: Tally
  readonly batches: readonly {
    readonly batchRows: number
    readonly computeInput: Tally
    readonly computeInfer: Tally
    readonly computeOutput: Tally
  }[]
  readonly memory: readonly { readonly type: 'CPU' | 'GPU'; readonly id: number; readonly bytes: number }[]
}

export interface Tally {
  readonly count: number
  readonly ns: number
}

/** A model's structure, and what is known of its compiled form if there is one. */
export interface Inspection {
  readonly signature: Signature
  /** Number of the GPU that it runs on; absent = none. */
  readonly gpu?: number
  readonly artifact?: {
    readonly form: 'mapped' | 'plain'
    readonly plainReason?: string
    readonly isBatchSafe?: boolean
    readonly batchReason?: string
  }
}
