/** Exponential back-off with equal jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015). */
export interface BackoffOptions {
  readonly baseMs: number
  readonly maxMs: number
}

/** Delay before try number `attempt` (1 = the first retry): uniform in [half, whole] of the exponential step, so it is never near zero. `random` is in [0, 1). */
export function backoffMs(attempt: number, { baseMs, maxMs }: BackoffOptions, random: () => number): number {
  const step = Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 30))
  return step / 2 + (step / 2) * random()
}

/** As `backoffMs` with full jitter: uniform in [0, whole]. For many that were refused by one store at the same moment. */
export function fullJitterMs(attempt: number, { baseMs, maxMs }: BackoffOptions, random: () => number): number {
  return Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 30)) * random()
}
