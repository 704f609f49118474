/** Median and spread of repetitions. */

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
  /** Repetitions. */
  readonly count: number
}

/** NaN throughout when there is nothing. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const { length } = sorted
  const nan = Number.NaN
  const middle = ((sorted[Math.floor((length - 1) / 2)] ?? nan) + (sorted[Math.floor(length / 2)] ?? nan)) / 2
  return { median: middle, min: sorted[0] ?? nan, max: sorted.at(-1) ?? nan, count: length }
}

export function median(values: readonly number[]): number {
  return spreadOf(values).median
}

/**
 * Ratio of two things measured side by side: the median of the repetitions' own ratios, so that what slows the machine for
 * a while slows both sides of a ratio.
 */
export function pairedRatio(numerators: readonly number[], denominators: readonly number[]): Spread {
  return spreadOf(numerators.map((value, i) => value / (denominators[i] ?? Number.NaN)))
}

/** The list begun at another place: when repetition `by` starts there, nothing is always measured right after the same other. */
export function rotated<T>(list: readonly T[], by: number): T[] {
  const start = by % list.length
  return [...list.slice(start), ...list.slice(0, start)]
}

/** Least-squares slope of y over x, in units of y per unit of x; NaN for fewer than two different x. */
export function slopeOf(points: readonly { readonly x: number; readonly y: number }[]): number {
  const meanOf = (read: (point: { x: number; y: number }) => number): number =>
    points.reduce((sum, point) => sum + read(point), 0) / points.length
  const [meanX, meanY] = [meanOf(({ x }) => x), meanOf(({ y }) => y)]
  let covariance = 0
  let variance = 0
  for (const { x, y } of points) {
    covariance += (x - meanX) * (y - meanY)
    variance += (x - meanX) ** 2
  }
  return covariance / variance
}
