/** What a fault run is: something goes wrong with a real server on purpose, and what must then hold is looked at and timed. */
import type { FaultStage } from './stage.ts'

export interface FaultRow {
  readonly number: number
  readonly fault: string
  /** How it is brought about. */
  readonly injected: string
  readonly expected: string
  /** Bound of the `seconds` that the run measures. */
  readonly limitSeconds: number
  /** Throws when it cannot be staged at all; `NotRunnable` when this machine is not one where it can. */
  run(stage: FaultStage): Promise<FaultFinding>
}

export interface FaultFinding {
  /** What `limitSeconds` bounds. */
  readonly seconds: number
  /** Of what the seconds are, and figures beside them. */
  readonly measured: string
  /** What did not hold; empty when all did. */
  readonly problems: readonly string[]
}

/** The reason belongs into the table: a row that was not run is never a row that passed. */
export class NotRunnable extends Error {}

export type Verdict = 'passed' | 'failed' | 'not run'

export interface FaultResult extends Pick<FaultRow, 'number' | 'fault' | 'injected' | 'expected' | 'limitSeconds'> {
  readonly verdict: Verdict
  readonly seconds?: number
  /** Measured figures, or why it was not run. */
  readonly measured: string
  readonly problems: readonly string[]
  /** Length of the whole run. */
  readonly tookSeconds: number
}

/** Collects what did not hold, so that one run tells all of it. */
export class Expectations {
  readonly problems: string[] = []

  that(holds: boolean, otherwise: string): void {
    if (!holds) this.problems.push(otherwise)
  }

  equal(what: string, actual: string | number | boolean | undefined, wanted: string | number | boolean): void {
    this.that(actual === wanted, `${what}: ${actual}, expected ${wanted}`)
  }
}
