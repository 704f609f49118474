/** A run of cases in a thread of its own, and what it tells: whoever started it can see that it hangs, and end it. */
import type { Finding } from './judge.ts'

export interface Batch {
  readonly target: string
  readonly seed: number
  /** Numbers of the cases: [from, to). */
  readonly from: number
  readonly to: number
  /** `PULSE` words, shared. */
  readonly pulse: SharedArrayBuffer
}

/** Places of the words: one that moves while it lives, the case under way, and how cases went. */
export const PULSE = { beat: 0, caseNumber: 1, accepted: 2, refused: 3, words: 4 } as const

/** The only message of a batch, when it is over. */
export interface BatchEnd {
  /** The first finding; the batch ends with it. */
  readonly found?: {
    readonly finding: Finding
    readonly caseNumber: number
    readonly input: Uint8Array
    readonly smallest: Uint8Array
  }
}
