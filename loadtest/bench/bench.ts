/** What every bench is: a question, and a run that answers it within bounds. */
import type { BenchFindings } from '../report/bench-result.ts'

export interface BenchContext {
  /** Repetitions of everything compared, interleaved. */
  readonly reps: number
  /** Share of the models that the full bench has, above 0 to 1. */
  readonly scale: number
  /** Short runs that prove the bench works. */
  readonly isQuick: boolean
  /** A folder of this bench's own: models are kept in it from run to run, caches are not. */
  readonly folder: string
  /** Aborts on Ctrl-C: stop what was started and throw. */
  readonly signal: AbortSignal
  /** What is being done, for people. */
  progress(text: string): void
}

export interface Bench {
  readonly name: string
  readonly question: string
  /** Duration of a full run on two cores, for the list. */
  readonly minutes: number
  /** Repetitions of a full run. */
  readonly reps: number
  run(context: BenchContext): Promise<BenchFindings>
}

/** `count` scaled, at least `least`. */
export function scaled({ scale }: BenchContext, count: number, least: number): number {
  return Math.max(Math.round(count * scale), least)
}
