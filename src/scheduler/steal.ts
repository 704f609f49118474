/** May an idle worker take a model's requests away from its home? */

export interface StealQuestion {
  /** How long the requests would wait at home. */
  readonly homeWaitMs: number
  /** Page-in and open in the idle worker; not asked when the model is open there. */
  readonly openMs: number
  readonly hasPlacementHere: boolean
  /** The artifact's weights are mapped, hence shared between workers. */
  readonly isMapped: boolean
  /** Of one placement. */
  readonly privateBytes: number
}

/** An unmapped model larger than this (a tree ensemble, as a rule) is never open in two workers: each would hold all of it. */
export const MAX_DUPLICATED_BYTES = 4 * 1024 * 1024

export function mayDuplicate({ isMapped, privateBytes }: Pick<StealQuestion, 'isMapped' | 'privateBytes'>): boolean {
  return isMapped || privateBytes <= MAX_DUPLICATED_BYTES
}

/**
 * Waiting this much longer at home is better than one more session: with thousands of small models and all cores busy, a worker
 * is idle for moments only, and would spend them on opening what it hardly runs (50 opens a second with 10,000 models, B3).
 */
const PATIENCE_MS = 10

/** Only if it serves the requests sooner: where the model is open already that is as soon as its home is busy at all. */
export function maySteal(question: StealQuestion): boolean {
  const { homeWaitMs, openMs, hasPlacementHere } = question
  if (hasPlacementHere) return homeWaitMs > 0
  return mayDuplicate(question) && homeWaitMs > openMs + PATIENCE_MS
}
