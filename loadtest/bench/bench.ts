/** What every bench is: a question, and a run that answers it within bounds. */
import type { ClassName } from '../models/index.ts'
import type { BenchFindings } from '../report/bench-result.ts'

export interface BenchContext {
  /** Repetitions of everything compared, interleaved. */
  readonly reps: number
  /** Share of the models that the full bench has, above 0 to 1. */
  readonly scale: number
  /** Classes asked for on the command line; undefined = all that the bench has. */
  readonly classes: readonly ClassName[] | undefined
  /** Short runs that prove the bench works. */
  readonly isQuick: boolean
  /** Whether servers of others are measured too, where the bench has some; they are installed if need be. */
  readonly withPeers: boolean
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

/** Of the classes that a bench has, those asked for. @throws RangeError when none is left */
export function chosenClasses<Name extends ClassName>({ classes }: BenchContext, all: readonly Name[]): Name[] {
  const left = all.filter((name) => classes === undefined || classes.includes(name))
  if (left.length === 0)
    throw new RangeError(`the bench has the classes ${all.join(', ')}, and none of ${classes?.join(', ')}`)
  return left
}

/** `count` scaled, at least `least`. */
export function scaled({ scale }: BenchContext, count: number, least: number): number {
  return Math.max(Math.round(count * scale), least)
}
