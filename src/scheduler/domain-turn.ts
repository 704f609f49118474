/**
 * Whose turn it is at a worker whose process serves one trust domain only, and has to be replaced for another. A process that is
 * bound keeps to its domain while that has work, until another has waited `starvationMs` without any worker.
 */

export interface WaitingDomain {
  readonly name: string
  /** Monotonic time since which it waits: for its first request, or since it was last given a worker's time. */
  readonly since: number
  /** Workers bound to it, or about to be. */
  readonly workers: number
}

export interface DomainQuestion {
  /** Undefined: the process has opened nothing yet and may be bound to any. */
  readonly own: string | undefined
  readonly hasOwnWork: boolean
  /** The process has nothing to do: only then it can be replaced. */
  readonly isIdle: boolean
  /** Domains with requests, longest wait first; the worker's own may be among them. Read only as far as needed. */
  readonly waiting: Iterable<WaitingDomain>
  readonly now: number
  readonly starvationMs: number
}

/** `rebind`: by a fresh process; `drain`: as `rebind`, once the process is idle. */
export type DomainTurn =
  | { readonly do: 'serve' | 'rebind' | 'drain'; readonly domain: string }
  | { readonly do: 'nothing' }

/** How long a domain whose workers are all at work waits before an idle worker of another is replaced to help: several times what that costs. */
const PATIENCE_MS = 100
const NOTHING: DomainTurn = { do: 'nothing' }

export function domainTurn({ own, hasOwnWork, isIdle, waiting, now, starvationMs }: DomainQuestion): DomainTurn {
  const other = mostInNeed(waiting, own)
  if (own === undefined) return other === undefined ? NOTHING : { do: 'serve', domain: other.name }
  if (other?.workers === 0 && now - other.since >= starvationMs)
    return { do: isIdle ? 'rebind' : 'drain', domain: other.name }
  if (hasOwnWork) return { do: 'serve', domain: own }
  if (other === undefined || !isIdle) return NOTHING
  // Nobody serves it, or those who do are busy and it has waited for long enough.
  return other.workers === 0 || now - other.since >= PATIENCE_MS ? { do: 'rebind', domain: other.name } : NOTHING
}

/** The domain with the fewest workers, of those the one that waits longest. Reads no more than there are workers, and one. */
function mostInNeed(waiting: Iterable<WaitingDomain>, own: string | undefined): WaitingDomain | undefined {
  let fewest: WaitingDomain | undefined
  for (const domain of waiting) {
    if (domain.name === own) continue
    if (fewest === undefined || domain.workers < fewest.workers) fewest = domain
    if (fewest.workers === 0) break
  }
  return fewest
}
