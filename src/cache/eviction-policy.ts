/**
 * Which entries to evict: pure functions of a snapshot behind one interface. The owner of the entries decides who may be
 * evicted at all (not leased, not pinned, old enough) and hands in only those.
 */

export interface EvictionCandidate {
  readonly key: string
  readonly readyAt: number
  readonly lastUsedAt: number
  /** Leases since it became ready. */
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

/** By the name that the configuration gives them. */
export const POLICIES = { lru } as const satisfies Record<string, EvictionPolicy>

/** Takes candidates in order until the gain suffices, then puts back, last taken first, those it suffices without. */
export function takeUntilEnough(
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
