/**
 * Which entries to evict: pure functions of a snapshot behind one interface. The owner of the entries decides who may be
 * evicted at all (not leased, not pinned, old enough) and hands in only those.
 */

export interface EvictionCandidate {
  readonly key: string
  /** When it first became ready, as far as is remembered: evictions since then do not count. */
  readonly knownSince: number
  readonly lastUsedAt: number
  /** Leases since then. */
  readonly uses: number
  /** What it took to load. */
  readonly loadMs: number
}

/** What evicting a set gains. `bytes` is the gain of what was added and not removed: shared bytes count with their last holder. */
export interface GainCounter {
  readonly bytes: number
  add(key: string): void
  remove(key: string): void
}

export interface EvictionSnapshot {
  /** Least recently used first; read only as far as needed. */
  readonly candidates: Iterable<EvictionCandidate>
  readonly needBytes: number
  /** Empty; a policy may leave it in any state. */
  readonly gains: GainCounter
  readonly now: number
}

export interface EvictionPolicy {
  readonly name: string
  /**
   * Keys whose eviction together gains at least `needBytes`, none of which could be left out; empty when nothing is needed;
   * undefined when all candidates together do not gain enough. Changes nothing but `gains`.
   */
  chooseVictims(snapshot: EvictionSnapshot): readonly string[] | undefined
}

/** Least recently used first; costs as many steps as there are victims. */
export const lru: EvictionPolicy = {
  name: 'lru',
  chooseVictims: ({ candidates, needBytes, gains }) => takeUntilEnough(candidates, needBytes, gains),
}

/**
 * Segmented LRU, whose segments follow from a candidate's own past instead of lists: first those not asked for again since they were first
 * loaded, and those that were but have since rested for several times their usual pause, then all others; each part least recently used
 * first. A scan of models that nobody asks for twice so evicts only itself, and what was hot once does not stay for ever.
 * (R. Karedla, J. S. Love, B. G. Wherry: Caching strategies to improve disk system performance, IEEE Computer 27(3), 1994.)
 * Costs as many steps as there are victims and protected ones before them.
 */
export const slru: EvictionPolicy = {
  name: 'slru',
  chooseVictims: ({ candidates, needBytes, gains, now }) =>
    takeUntilEnough(unprotectedFirst(candidates, now), needBytes, gains),
}

/**
 * One that has rested for more pauses of its usual length than this is no longer hot. Where requests come at random, one pause in nine
 * is longer than that when the usual one is known from a single one, one in fifty when from three.
 */
const PAUSES_PROTECTED = 8
/** Who comes back less often than this is not worth room that others use: a scan repeated every night is still a scan. */
const MAX_USUAL_PAUSE_MS = 600_000

function* unprotectedFirst(candidates: Iterable<EvictionCandidate>, now: number): Iterable<EvictionCandidate> {
  const protectedOnes: EvictionCandidate[] = []
  for (const candidate of candidates) {
    if (isProtected(candidate, now)) protectedOnes.push(candidate)
    else yield candidate
  }
  yield* protectedOnes
}

function isProtected({ knownSince, lastUsedAt, uses }: EvictionCandidate, now: number): boolean {
  if (uses < 2) return false
  const usualPauseMs = (lastUsedAt - knownSince) / (uses - 1)
  return usualPauseMs <= MAX_USUAL_PAUSE_MS && now - lastUsedAt <= PAUSES_PROTECTED * usualPauseMs
}

/** By the name that the configuration gives them. */
export const POLICIES = { lru, slru } as const satisfies Record<string, EvictionPolicy>

/** Takes candidates in order until the gain suffices, then puts back, last taken first, those it suffices without. */
function takeUntilEnough(
  candidates: Iterable<EvictionCandidate>,
  needBytes: number,
  gains: GainCounter,
): readonly string[] | undefined {
  if (needBytes <= 0) return []
  const taken: string[] = []
  for (const { key } of candidates) {
    gains.add(key)
    taken.push(key)
    if (gains.bytes >= needBytes) return withoutSpare(taken, needBytes, gains)
  }
  return undefined
}

function withoutSpare(taken: readonly string[], needBytes: number, gains: GainCounter): string[] {
  const needed: string[] = []
  for (const key of taken.toReversed()) {
    gains.remove(key)
    if (gains.bytes >= needBytes) continue
    gains.add(key)
    needed.push(key)
  }
  return needed.toReversed()
}
