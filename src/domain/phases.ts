/** The phases of a request and what the caches did for it: one vocabulary for headers, logs and metrics. */

/** Outcome of the entry look-up, worst first; `x-modelmux-cache` reports the worst that a request met. */
export const CACHE_OUTCOMES = ['wait', 'compile', 'load', 'hit'] as const
/**
 * `hit`: the model was open. `load`: this request's model had to be opened from an artifact. `compile`: it had to be compiled first.
 * `wait`: it joined a load that another request had begun.
 */
export type CacheOutcome = (typeof CACHE_OUTCOMES)[number]

/** Phases in the order a request goes through them; `Server-Timing` names them, metrics label by them. Milliseconds. */
export const PHASES = ['resolve', 'fetch', 'compile', 'page', 'queue', 'open', 'decode', 'run', 'encode'] as const
export type Phase = (typeof PHASES)[number]
export type PhaseTimings = Partial<Record<Phase, number>>
