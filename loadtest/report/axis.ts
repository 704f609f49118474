/** Axes of a plot: round tick values, and where a value lies. */

export interface Axis {
  readonly ticks: readonly number[]
  /** 0 at the lowest tick, 1 at the highest. */
  position(value: number): number
}

const WANTED_TICKS = 5

/** From 0 to a round number at or above `highest`, in steps of 1, 2 or 5 times a power of ten. */
export function linearAxis(highest: number): Axis {
  const span = highest > 0 && Number.isFinite(highest) ? highest : 1
  const rough = span / WANTED_TICKS
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10) * power
  const count = Math.ceil(span / step - 1e-9)
  const ticks = Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(12)))
  return { ticks, position: (value) => value / (count * step) }
}

/** Powers of ten from one at or below `lowest` to one at or above `highest`; both above 0. */
export function logAxis(lowest: number, highest: number): Axis {
  const first = Math.floor(Math.log10(lowest) + 1e-9)
  const last = Math.max(Math.ceil(Math.log10(highest) - 1e-9), first + 1)
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i))
  return { ticks, position: (value) => (Math.log10(Math.max(value, 10 ** first)) - first) / (last - first) }
}
