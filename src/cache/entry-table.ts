/**
 * The owner of a replica's entries: at most one per ModelKey, one load each; leases, waits for loads, room for loads, failures.
 * Starts no load and closes no session: it decides synchronously and tells its owner through `publish` and `onDrained`.
 *
 *   a request:  acquire -> lease, or:  begin (if absent) and start the load;  join -> lease when ready
 *   a load:     begin -> claim (waits for memory) -> advance... -> ready | fail | cancel
 *   leaving:    evicted or `drain` -> leases run out -> onDrained -> the owner closes placements -> freed
 */
import type { GatewayError } from '../domain/errors.ts'
import { asGatewayError } from '../domain/errors.ts'
import type { Clock } from '../lib/clock.ts'
import { modelLoading } from './capacity-errors.ts'
import type { Entry, EntryMove, EntryStatus, LoadPhase, Residency } from './entry.ts'
import { entryMachine, newEntry } from './entry.ts'
import { EvictionOrder } from './eviction-order.ts'
import type { EvictionPolicy } from './eviction-policy.ts'
import type { FailureMemoryOptions } from './failure-memory.ts'
import { FailureMemory } from './failure-memory.ts'
import { Lease } from './lease.ts'
import type { Demand, Ledger } from './ledger.ts'
import { LoadWaiters } from './load-waiters.ts'
import type { ClaimTerms } from './memory-room.ts'
import { MemoryRoom } from './memory-room.ts'
import { PastUses } from './past-uses.ts'
import type { StateMachine } from './state-machine.ts'

export type CacheEvent =
  | ({ readonly kind: 'moved' } & EntryMove)
  | { readonly kind: 'hit' | 'miss'; readonly key: string }
  /** Times are milliseconds: since it became ready, since it was last used. `bytes`: what the eviction gains. */
  | {
      readonly kind: 'evicted'
      readonly key: string
      readonly ageMs: number
      readonly idleMs: number
      readonly uses: number
    }
  /** Measured costs exceeded their estimates by bytes that no eviction can gain now. */
  | { readonly kind: 'overrun'; readonly bytes: number }

export interface EntryTableOptions {
  readonly clock: Clock
  readonly ledger: Ledger
  readonly policy: EvictionPolicy
  readonly minResidencyMs: number
  /** Requests that wait for loads, over all keys. */
  readonly maxLoadWaiters: number
  /** Entries that are not failed. */
  readonly maxEntries: number
  readonly failure: FailureMemoryOptions
  /** Is work queued for the key that holds no lease? Such an entry is not evicted. */
  readonly hasWork: (key: string) => boolean
  /** Called synchronously; must not throw. */
  readonly publish: (event: CacheEvent) => void
  /** Called once for each draining entry, as soon as it has no lease: close its placements, then call `freed`. May call back. */
  readonly onDrained: (key: string) => void
}

type ReadyEntry = Entry & { status: Extract<EntryStatus, { s: 'ready' }> }

export class EntryTable {
  readonly #options: EntryTableOptions
  readonly #clock: Clock
  readonly #ledger: Ledger
  readonly #machine: StateMachine<EntryStatus>
  readonly #entries = new Map<string, Entry>()
  readonly #order: EvictionOrder
  readonly #room: MemoryRoom
  readonly #waiters: LoadWaiters<Lease>
  readonly #departures: LoadWaiters<void>
  readonly #failures: FailureMemory
  readonly #pastUses: PastUses
  #leases = 0
  #closed: GatewayError | undefined

  constructor(options: EntryTableOptions) {
    const { clock, ledger, publish, maxLoadWaiters, failure } = options
    this.#options = options
    this.#clock = clock
    this.#ledger = ledger
    this.#machine = entryMachine(clock, (move) => publish({ kind: 'moved', ...move }))
    this.#order = new EvictionOrder(options)
    this.#room = new MemoryRoom({
      clock,
      ledger,
      policy: options.policy,
      candidates: (now, waitMs) => this.#order.candidates(now, waitMs),
      occupants: (now) => ({
        entries: this.#entries.values(),
        isPinned: (key) => this.#order.isPinned(key),
        soonestMs: this.#order.soonestMs(now),
      }),
      evict: (keys) => this.#evict(keys),
      onOverrun: (bytes) => publish({ kind: 'overrun', bytes }),
    })
    this.#waiters = new LoadWaiters(maxLoadWaiters)
    this.#departures = new LoadWaiters(maxLoadWaiters)
    this.#failures = new FailureMemory(failure)
    this.#pastUses = new PastUses(failure.maxEntries)
  }

  /** The key's entry, a remembered failed one included. */
  get(key: string): Entry | undefined {
    return this.#entries.get(key) ?? this.#failures.get(key)
  }

  /** All entries that are not failed. */
  entries(): Iterable<Entry> {
    return this.#entries.values()
  }

  failures(): Iterable<Entry> {
    return this.#failures.entries()
  }

  /** Leases held, waits for loads (or for a leaving entry to be gone), loads that wait for memory: all 0 when nothing goes on. */
  get pending(): { readonly leases: number; readonly waiters: number; readonly claims: number } {
    return {
      leases: this.#leases,
      waiters: this.#waiters.size + this.#departures.size,
      claims: this.#room.waiting,
    }
  }

  /** A lease at once if the entry is ready, else undefined. */
  acquire(key: string): Lease | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined || !isReady(entry)) return undefined
    this.#options.publish({ kind: 'hit', key })
    return this.#lease(entry)
  }

  /**
   * A lease as soon as the load that is under way has ended. An abort ends this wait only.
   * @throws the load's error; OVERLOADED when too many wait; the signal's reason
   */
  join(key: string, signal: AbortSignal): Promise<Lease> {
    const entry = this.#entries.get(key)
    if (entry !== undefined && isReady(entry)) return Promise.resolve(this.#lease(entry))
    if (this.#closed !== undefined) return Promise.reject(this.#closed)
    if (entry === undefined || entry.status.s === 'draining') {
      return Promise.reject(
        this.#failures.refusal(key, this.#clock.now()) ?? new Error(`no load of ${key} is under way`),
      )
    }
    this.#options.publish({ kind: 'miss', key })
    return this.#waiters.wait(key, signal)
  }

  /** Resolves when a draining entry is gone (or has failed), at once when there is none; only then may `begin` be called. */
  whenGone(key: string, signal: AbortSignal): Promise<void> {
    if (this.#entries.get(key)?.status.s !== 'draining') return Promise.resolve()
    return this.#departures.wait(key, signal)
  }

  /**
   * Makes the entry of a new load; the caller then runs that load to `ready`, `fail` or `cancel`.
   * @throws GatewayError the remembered failure while its back-off lasts; CAPACITY_EXHAUSTED when entries run out
   */
  begin(key: string): Entry {
    if (this.#closed !== undefined) throw this.#closed
    if (this.#entries.has(key)) throw new Error(`${key} has an entry already`)
    const now = this.#clock.now()
    const refusal = this.#failures.refusal(key, now)
    if (refusal !== undefined) throw refusal
    if (this.#entries.size >= this.#options.maxEntries) this.#dropColdest(key)
    const entry = newEntry(key, this.#failures.nextAttempt(key, now), now)
    this.#failures.forget(key)
    this.#entries.set(key, entry)
    return entry
  }

  /**
   * Reserves memory for a load, evicting what it must. Decided synchronously: on return the bytes are reserved, or awaited
   * because they are leaving, or refused. A second call replaces the reservation by a better known demand.
   * @throws (as a rejection) GatewayError MODEL_TOO_LARGE, CAPACITY_EXHAUSTED; the signal's reason
   */
  claim(key: string, demand: Demand, terms?: ClaimTerms): Promise<void> {
    this.#loading(key)
    return this.#room.claim(key, demand, terms)
  }

  advance(key: string, phase: LoadPhase): void {
    this.#machine.transition(this.#loading(key), { s: phase })
  }

  /** The load is done: settles its reservation to what was measured and gives a lease to everyone who waits. */
  ready(key: string, measured: Demand): void {
    const entry = this.#loading(key)
    const now = this.#clock.now()
    this.#ledger.settle(key, measured)
    const past = this.#pastUses.of(key) ?? { since: now, uses: 0 }
    const loadMs = now - entry.queuedAt
    const residency: Residency = { readyAt: now, past, loadMs, leases: 0, uses: 0, lastUsedAt: now }
    this.#order.rest(entry)
    this.#machine.transition(entry, { s: 'ready', residency })
    if (isReady(entry)) this.#waiters.settle(key, () => this.#lease(entry))
    else this.#waiters.reject(key, modelLoading(key)) // an observer of `ready` sent it away again
    this.rebalance()
  }

  /**
   * The load failed, or what was ready turned out to be broken. A load's waiters get the error now and others until its
   * back-off ends; a ready entry drains first. @returns the error as they get it
   */
  fail(key: string, thrown: unknown): GatewayError {
    const error = asGatewayError(thrown)
    const entry = this.#entries.get(key)
    if (entry === undefined || entry.status.s === 'draining') return error
    if (isReady(entry)) this.#drain(entry, 'failed', error)
    else this.#endAsFailed(entry, error, entry.attempt)
    return error
  }

  /** The load was given up, which is nobody's fault: its waiters get `error`, the next request may load again. */
  cancel(key: string, error: GatewayError): void {
    const entry = this.#loading(key)
    this.#room.refuse(key, error)
    this.#remove(entry)
    this.#machine.transition(entry, { s: 'gone' }, error.code)
    this.#waiters.reject(key, error)
  }

  /** Sends a ready entry away, pinned or not. @returns false when it is not ready */
  drain(key: string, reason: string): boolean {
    const entry = this.#entries.get(key)
    if (entry === undefined || !isReady(entry)) return false
    this.#drain(entry, reason)
    return true
  }

  /** Every placement of a drained entry is closed: its bytes are given back. */
  freed(key: string): void {
    const entry = this.#entries.get(key)
    if (entry?.status.s !== 'draining') throw new Error(`${key} is not draining`)
    if (entry.status.residency.leases > 0) throw new Error(`${key} is leased`)
    if (this.#ledger.placementsOf(key) > 0) throw new Error(`${key} has open placements`)
    const { error, residency } = entry.status
    if (error === undefined) {
      this.#remove(entry)
      this.#machine.transition(entry, { s: 'gone' })
    } else {
      // What ran well for long starts a new count of failures.
      const isFirst = entry.since - residency.readyAt > this.#options.failure.maxMs
      this.#endAsFailed(entry, error, isFirst ? 1 : entry.attempt)
    }
    this.#departures.settle(key, () => undefined)
  }

  /** Makes `bytes` available for something that is charged later. @returns false when it cannot be done; true may need to wait for leaving bytes */
  makeRoom(bytes: number): boolean {
    return this.#room.makeRoom(bytes)
  }

  /** More is known of what a ready entry needs: charges it, and evicts others if that is more than the budget has. */
  remeasure(key: string, measured: Demand): void {
    this.#ledger.remeasure(key, measured)
    this.rebalance()
  }

  /** To be called when placements changed what is charged: evicts what exceeds the budget, grants what fits. */
  rebalance(): void {
    this.#room.rebalance()
  }

  /** Keeps a key, also one that is not here yet, from eviction. */
  pin(key: string): void {
    this.#order.pin(key)
  }

  unpin(key: string): void {
    const entry = this.#entries.get(key)
    const isResting = entry !== undefined && isReady(entry) && entry.status.residency.leases === 0
    this.#order.unpin(key, isResting ? entry : undefined)
    if (this.#room.isOver) this.rebalance()
  }

  isPinned(key: string): boolean {
    return this.#order.isPinned(key)
  }

  /** Lets the next request load again although the last load failed. */
  forgetFailure(key: string): void {
    this.#failures.forget(key)
  }

  /** Ends all waits with `error` and refuses new loads; leases and ready entries stay as they are. Idempotent. */
  close(error: GatewayError): void {
    this.#closed ??= error
    for (const key of this.#entries.keys()) {
      this.#waiters.reject(key, error)
      this.#departures.reject(key, error)
      this.#room.refuse(key, error)
    }
  }

  #lease(entry: ReadyEntry): Lease {
    const { residency } = entry.status
    residency.leases++
    residency.uses++
    residency.lastUsedAt = this.#clock.now()
    this.#leases++
    return new Lease(entry.key, () => this.#release(entry, residency))
  }

  #release(entry: Entry, residency: Residency): void {
    residency.leases--
    residency.lastUsedAt = this.#clock.now()
    this.#leases--
    if (residency.leases > 0) return
    if (isReady(entry)) {
      this.#order.rest(entry)
      if (this.#room.isOver) this.rebalance()
    } else if (entry.status.s === 'draining') this.#options.onDrained(entry.key)
  }

  #loading(key: string): Entry {
    const entry = this.#entries.get(key)
    if (entry === undefined || isReady(entry) || entry.status.s === 'draining') {
      throw new Error(`no load of ${key} is under way`)
    }
    return entry
  }

  #evict(victims: readonly string[]): void {
    const now = this.#clock.now()
    for (const key of victims) {
      const entry = this.#entries.get(key)
      // Observers of an earlier victim may have taken or pinned this one.
      if (entry === undefined || !isReady(entry) || entry.status.residency.leases > 0) continue
      if (this.#order.isPinned(key)) continue
      const { readyAt, lastUsedAt, uses, past } = entry.status.residency
      this.#pastUses.remember(key, { since: past.since, uses: past.uses + uses })
      this.#options.publish({ kind: 'evicted', key, ageMs: now - readyAt, idleMs: now - lastUsedAt, uses })
      this.#drain(entry, 'evicted')
    }
  }

  #drain(entry: ReadyEntry, reason: string, error?: GatewayError): void {
    const { residency } = entry.status
    this.#machine.transition(entry, { s: 'draining', residency, ...(error === undefined ? {} : { error }) }, reason)
    this.#order.remove(entry.key)
    this.#ledger.leave(entry.key)
    if (residency.leases === 0) this.#options.onDrained(entry.key)
  }

  #endAsFailed(entry: Entry, error: GatewayError, attempt: number): void {
    this.#room.refuse(entry.key, error)
    this.#remove(entry)
    const retryAt = this.#failures.retryAt(error, attempt, this.#clock.now())
    this.#machine.transition(entry, { s: 'failed', error, retryAt }, error.code)
    this.#failures.remember({ ...entry, attempt })
    this.#waiters.reject(entry.key, error)
  }

  #remove(entry: Entry): void {
    this.#entries.delete(entry.key)
    this.#order.remove(entry.key)
    this.#room.free(entry.key)
  }

  #dropColdest(key: string): void {
    const [coldest] = this.#order.candidates(this.#clock.now(), 0)
    if (coldest === undefined) throw this.#room.exhausted(key)
    this.#evict([coldest.key])
  }
}

function isReady(entry: Entry): entry is ReadyEntry {
  return entry.status.s === 'ready'
}
