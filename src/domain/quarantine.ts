/** What is held against a ModelKey: strikes, and the record of a key that is refused for them. */

/** How a model ended its process, as far as it was proven to be the model's own doing. */
export type StrikeReason = 'crash' | 'hang' | 'memory' | 'deadline' | 'killed'
/** What the process was at. */
export type StrikePhase = 'run' | 'open' | 'compile'

/** One crash or hang proven to be a model's own fault. */
export interface Strike {
  readonly reason: StrikeReason
  readonly phase: StrikePhase
  /** The signal, the exit code, or the limit that was passed. */
  readonly how: string
  /** The worker or compiler it happened in. */
  readonly process: string
  /** Milliseconds since 1970. */
  readonly at: number
  /** SHA-256 of the request's body, hex; a crash in a run has one. */
  readonly body?: string
}

/** A key that is refused until someone releases it, its record expires, or its files change, which makes another key. */
export interface QuarantineRecord {
  readonly key: string
  readonly model: string
  readonly version: string
  /** Milliseconds since 1970. */
  readonly since: number
  /** `MODEL_QUARANTINED`: proven at work; `ARTIFACT_INVALID`: proven when it was compiled. */
  readonly code: 'MODEL_QUARANTINED' | 'ARTIFACT_INVALID'
  /** What requests are told. */
  readonly message: string
  /**
   * What the judgement depends on beside the model's bytes, such as the engine's version and the compiler's limits. Where that is
   * different after a restart, the judgement is void.
   */
  readonly conditions: string
  readonly strikes: readonly Strike[]
}
