/**
 * The replica's knowledge of one ModelKey: its artifact is here and its bytes are reserved, or why not. One entry = one load.
 *
 *   queued -> fetching -> compiling -> paging -> ready -> draining -> gone        any but `gone` -> failed
 *      '---------'------------'----------^   (what is on this machine already is not fetched or compiled again)
 */

import type { GatewayError } from '../domain/errors.ts'
import type { Clock } from '../lib/clock.ts'
import type { PastUse } from './past-uses.ts'
import type { Move, Stateful } from './state-machine.ts'
import { StateMachine } from './state-machine.ts'

export type LoadPhase = 'fetching' | 'compiling' | 'paging'
export type EntryState = 'queued' | LoadPhase | 'ready' | 'draining' | 'gone' | 'failed'

/** `failed` is terminal: a retry makes a new entry. A load that is given up goes straight to `gone`. */
export const ENTRY_NEXT = {
  queued: ['fetching', 'compiling', 'paging', 'gone', 'failed'],
  fetching: ['compiling', 'paging', 'gone', 'failed'],
  compiling: ['paging', 'gone', 'failed'],
  paging: ['ready', 'gone', 'failed'],
  ready: ['draining', 'failed'],
  draining: ['gone', 'failed'],
  gone: [],
  failed: [],
} as const satisfies Record<EntryState, readonly EntryState[]>

/** What is counted while an entry can be used; `ready` and `draining` share one, so that no lease is lost between them. */
export interface Residency {
  readonly readyAt: number
  /** Milliseconds from `queued` to `ready`. */
  readonly loadMs: number
  /** When it first became ready, and leases given from then until it was last evicted: `readyAt` and 0 for one that is new. */
  readonly past: PastUse
  leases: number
  /** Leases given since it became ready. */
  uses: number
  lastUsedAt: number
}

export type EntryStatus =
  | { readonly s: 'queued' | LoadPhase | 'gone' }
  | { readonly s: 'ready'; readonly residency: Residency }
  | {
      readonly s: 'draining'
      readonly residency: Residency
      /** Set when it leaves because it is broken: it then ends as `failed`, not as `gone`. */
      readonly error?: GatewayError
    }
  | {
      readonly s: 'failed'
      readonly error: GatewayError
      /** Monotonic milliseconds from which a new load may be tried; Infinity = not for this key. */
      readonly retryAt: number
    }

export interface Entry extends Stateful<EntryStatus> {
  /** 1 for a first load; a retry after a failure carries on counting, for the back-off. */
  readonly attempt: number
  readonly queuedAt: number
}

export type EntryMove = Move<EntryState>

export function newEntry(key: string, attempt: number, now: number): Entry {
  return { key, attempt, queuedAt: now, since: now, status: { s: 'queued' } }
}

/** `ready` is published once the entry can be acquired, `draining` while it still can. */
export function entryMachine(clock: Clock, publish: (move: EntryMove) => void): StateMachine<EntryStatus> {
  return new StateMachine<EntryStatus>({ noun: 'entry', next: ENTRY_NEXT, announced: ['draining'], clock, publish })
}
