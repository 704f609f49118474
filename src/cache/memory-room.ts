/**
 * Makes room in memory: who gets bytes, who has to go, who waits, who is refused. Decides; its owner sends the victims away.
 * Every decision is synchronous, and whatever waits, waits only for bytes that are leaving already.
 */
import type { Clock } from '../lib/clock.ts'
import type { Occupants } from './capacity-errors.ts'
import { capacityExhausted, modelTooLarge } from './capacity-errors.ts'
import { ClaimQueue } from './claim-queue.ts'
import type { EvictionCandidate, EvictionPolicy } from './eviction-policy.ts'
import type { Demand } from './ledger.ts'
import { Ledger } from './ledger.ts'

export interface MemoryRoomOptions {
  readonly clock: Clock
  readonly ledger: Ledger
  readonly policy: EvictionPolicy
  /** Who may be evicted, least recently used first. */
  readonly candidates: (now: number) => Iterable<EvictionCandidate>
  /** For the arithmetic of refusals. */
  readonly occupants: (now: number) => Occupants
  /** Sends victims away: on return each is leaving in the ledger, or has become unavailable. */
  readonly evict: (keys: readonly string[]) => void
  /** Measured costs exceed the budget by bytes that no eviction can gain now. */
  readonly onOverrun: (bytes: number) => void
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
  claim(key: string, demand: Demand, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(signal.reason)
    if (this.#claims.has(key)) throw new Error(`${key} waits for memory already`)
    if (Ledger.wholeBytes(demand) > this.#ledger.budgetBytes) {
      this.free(key)
      return Promise.reject(modelTooLarge(key, demand, this.#ledger))
    }
    const victims = this.#chooseVictims(this.#ledger.request(key, demand))
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

  #chooseVictims(needBytes: number): readonly string[] | undefined {
    if (needBytes <= 0) return []
    const now = this.#options.clock.now()
    const candidates = this.#options.candidates(now)
    return this.#options.policy.chooseVictims({ candidates, needBytes, gains: this.#ledger.gains(), now })
  }
}
