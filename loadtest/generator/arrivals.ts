/** When an open loop means to send, decided ahead of any answer: that is what makes it immune to coordinated omission. */
import type { Rng } from '../models/index.ts'

/** `bursty`: gaps of a Gamma distribution with a coefficient of variation of 8, many at once and then long silence. */
export type ArrivalKind = 'constant' | 'poisson' | 'bursty'

const BURSTY_VARIATION = 8

/** Draws a gap with a mean of 1. */
const GAPS: Readonly<Record<ArrivalKind, (rng: Rng) => number>> = {
  constant: () => 1,
  // Gaps of a Poisson process are exponential.
  poisson: exponential,
  bursty: (rng) => gamma(rng, BURSTY_VARIATION ** -2) * BURSTY_VARIATION ** 2,
}

/** Intended send times in milliseconds from the start, ascending, without an end. `rps` > 0. */
export function* arrivalTimes(kind: ArrivalKind, rps: number, rng: Rng): Generator<number, never> {
  if (!(rps > 0)) throw new RangeError(`rps is ${rps}, expected a number above 0`)
  const meanGapMs = 1000 / rps
  let atMs = 0
  for (;;) {
    yield atMs
    atMs += GAPS[kind](rng) * meanGapMs
  }
}

function exponential(rng: Rng): number {
  // 1 - uniform() is never 0.
  return -Math.log(1 - rng.uniform())
}

/**
 * Gamma with a shape below 1 and a scale of 1, by rejection (J. H. Ahrens and U. Dieter: Computer methods for sampling from gamma, beta,
 * Poisson and binomial distributions, Computing 12, 1974, algorithm GS). Its mean is `shape`, its variance too.
 */
function gamma(rng: Rng, shape: number): number {
  const bound = 1 + shape / Math.E
  for (;;) {
    const p = bound * rng.uniform()
    if (p <= 1) {
      const x = p ** (1 / shape)
      if (exponential(rng) >= x) return x
    } else {
      const x = -Math.log((bound - p) / shape)
      if (Math.log(1 - rng.uniform()) <= (shape - 1) * Math.log(x)) return x
    }
  }
}
