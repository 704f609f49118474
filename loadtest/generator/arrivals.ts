/** When an open loop means to send, decided ahead of any answer: that is what makes it immune to coordinated omission. */
import type { Rng } from '../models/index.ts'

export type ArrivalKind = 'constant' | 'poisson'

/** Intended send times in milliseconds from the start, ascending, without an end. `rps` > 0. */
export function* arrivalTimes(kind: ArrivalKind, rps: number, rng: Rng): Generator<number, never> {
  if (!(rps > 0)) throw new RangeError(`rps is ${rps}, expected a number above 0`)
  const meanGapMs = 1000 / rps
  let atMs = 0
  for (;;) {
    yield atMs
    // Gaps of a Poisson process are exponential; 1 - uniform() is never 0.
    atMs += kind === 'constant' ? meanGapMs : -Math.log(1 - rng.uniform()) * meanGapMs
  }
}
