/**
 * Makes room in memory: who gets bytes, who has to go, who waits, who is refused. Decides; its owner sends the victims away.
 * Every decision is synchronous, and whatever waits, waits only for bytes that are leaving already.
 */
import type { Clock } from '../lib/clock.ts'
import type { Occupants } from './capacity-errors.ts'
import { capacityExhausted, modelTooLarge } from './capacity-errors.ts'
import { ClaimQueue } from './claim-queue.ts'
import type { RestingCandidate } from './eviction-order.ts'
import type { EvictionPolicy } from './eviction-policy.ts'
import type { Demand } from './ledger.ts'
import { Ledger } from './ledger.ts'

export interface MemoryRoomOptions {
  readonly clock: Clock
  readonly ledger: Ledger
  readonly policy: EvictionPolicy
  /** Who may be evicted now or within `waitMs`, least recently used first. */
  readonly candidates: (now: number, waitMs: number) => Iterable<RestingCandidate>
  /** For the arithmetic of refusals. */
  readonly occupants: (now: number) => Occupants
  /** Sends victims away: on return each is leaving in the ledger, or has become unavailable. */
  readonly evict: (keys: readonly string[]) => void
  /** Measured costs exceed the budget by bytes that no eviction can gain now. */
  readonly onOverrun: (bytes: number) => void
}

export interface ClaimTerms {
  /** Ends a wait for bytes that are leaving. */
  readonly signal?: AbortSignal
  /**
   * Milliseconds that the asker will wait and ask again rather than have a model evicted that is worth more than those which are only
   * too young to go until then. Without such patience a crowd of new models, all of them young, would push out just those in use.
   */
  readonly waitMs?: number
}

export class MemoryRoom {
  readonly #options: MemoryRoomOptions
  readonly #ledger: Ledger
  readonly #claims: ClaimQueue
  #isOver = false

  constructor(options: MemoryRoomOptions) {
    this.#options = options
    this.#ledger = options.ledger
    this.#claims = new ClaimQueue(options.ledger)
  }

  /** Claims that wait for leaving bytes. */
  get waiting(): number {
    return this.#claims.size
  }

  /**
   * Reserves memory, evicting what it must. On return the bytes are reserved, or awaited because they are leaving, or refused.
   * @throws (as a rejection) GatewayError MODEL_TOO_LARGE, CAPACITY_EXHAUSTED; the signal's reason
   */
  claim(key: string, demand: Demand, { signal, waitMs = 0 }: ClaimTerms = {}): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(signal.reason)
    if (this.#claims.has(key)) throw new Error(`${key} waits for memory already`)
    if (Ledger.wholeBytes(demand) > this.#ledger.budgetBytes) {
      this.free(key)
      return Promise.reject(modelTooLarge(key, demand, this.#ledger))
    }
    const victims = this.#chooseOrWait(this.#ledger.request(key, demand), waitMs)
    if (victims === undefined) {
      this.free(key)
      return Promise.reject(this.exhausted(key, demand))
    }
    const granted = this.#claims.enlist(key, signal)
    this.#options.evict(victims)
    this.rebalance()
    return granted
  }

  /** Makes `bytes` available for something that is charged later. @returns false when it cannot be done; true may need to wait for leaving bytes */
  makeRoom(bytes: number): boolean {
    const victims = this.#chooseVictims(this.#ledger.committedBytes + bytes - this.#ledger.budgetBytes)
    if (victims === undefined) return false
    this.#options.evict(victims)
    return true
  }

  /** More is held than the budget allows, because nothing could be evicted: to be rebalanced as soon as something can. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Evicts what exceeds the budget, refuses the newest claims if that is not enough, grants what fits. */
  rebalance(): void {
    const wasOver = this.#isOver
    this.#isOver = false
    for (let excess = this.#ledger.excessBytes; excess > 0; excess = this.#ledger.excessBytes) {
      const victims = this.#chooseVictims(excess)
      const newest = this.#claims.newest
      if (victims !== undefined) this.#options.evict(victims)
      else if (newest !== undefined) this.#claims.refuse(newest, this.exhausted(newest))
      else {
        this.#isOver = true
        if (!wasOver) this.#options.onOverrun(excess)
        break
      }
    }
    this.#claims.grant()
  }

  /** Gives back all that `key` has, and lets others have it. */
  free(key: string): void {
    this.#ledger.free(key)
    this.#claims.grant()
  }

  /** Ends a claim that waits; nothing if there is none. */
  refuse(key: string, reason: unknown): void {
    this.#claims.refuse(key, reason)
  }

  exhausted(key: string, demand?: Demand): Error {
    return capacityExhausted(key, demand, this.#ledger, this.#options.occupants(this.#options.clock.now()))
  }

  /** Undefined also where those that the policy would rather have go, are all too young for `waitMs` at most. */
  #chooseOrWait(needBytes: number, waitMs: number): readonly string[] | undefined {
    const young = new Set<string>()
    const wanted = this.#chooseVictims(needBytes, waitMs, young)
    if (wanted === undefined || wanted.every((key) => !young.has(key))) return wanted
    // Where older ones must go beside them, all would have to be old enough at the same time: a large model might wait for ever.
    return wanted.every((key) => young.has(key)) ? undefined : this.#chooseVictims(needBytes)
  }

  /** Those that may be evicted within `waitMs` are among them, and are then told as `young`. */
  #chooseVictims(needBytes: number, waitMs = 0, young = new Set<string>()): readonly string[] | undefined {
    if (needBytes <= 0) return []
    const now = this.#options.clock.now()
    const candidates = telling(this.#options.candidates(now, waitMs), young)
    return this.#options.policy.chooseVictims({ candidates, needBytes, gains: this.#ledger.gains(), now })
  }
}

/** As they are, noting who is young as they are read: mostly few of them are. */
function* telling(candidates: Iterable<RestingCandidate>, young: Set<string>): Iterable<RestingCandidate> {
  for (const candidate of candidates) {
    if (candidate.isYoung) young.add(candidate.key)
    yield candidate
  }
}
