/**
 * Who waits for what: one bounded set of waits by key. A waiter whose signal aborts leaves alone; what it waited for goes on.
 * Owns the abort listeners and removes each when its wait ends.
 */
import { GatewayError } from '../domain/errors.ts'

interface Waiter<T> {
  readonly resolve: (value: T) => void
  readonly reject: (reason: unknown) => void
}

export class LoadWaiters<T> {
  readonly #limit: number
  readonly #byKey = new Map<string, Set<Waiter<T>>>()
  #size = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get size(): number {
    return this.#size
  }

  countOf(key: string): number {
    return this.#byKey.get(key)?.size ?? 0
  }

  /**
   * Resolves or rejects as `settle` or `reject` of this key say.
   * @throws (as a rejection) the signal's reason when it aborts first; GatewayError OVERLOADED when too many wait already
   */
  wait(key: string, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      if (this.#size >= this.#limit) return reject(tooMany(this.#limit))
      const leave = () => {
        this.#remove(key, waiter)
        reject(signal.reason)
      }
      const waiter: Waiter<T> = {
        resolve: (value) => {
          signal.removeEventListener('abort', leave)
          resolve(value)
        },
        reject: (reason) => {
          signal.removeEventListener('abort', leave)
          reject(reason)
        },
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#add(key, waiter)
    })
  }

  /** Ends all waits of `key`; `give` is called once for each. */
  settle(key: string, give: () => T): void {
    for (const waiter of this.#takeEach(key)) waiter.resolve(give())
  }

  reject(key: string, reason: unknown): void {
    for (const waiter of this.#takeEach(key)) waiter.reject(reason)
  }

  /** One at a time, so that a waiter that leaves while an earlier one is answered is not given what nobody would give back. */
  *#takeEach(key: string): Iterable<Waiter<T>> {
    for (const waiter of this.#byKey.get(key) ?? []) {
      this.#remove(key, waiter)
      yield waiter
    }
  }

  #add(key: string, waiter: Waiter<T>): void {
    const waiters = this.#byKey.get(key)
    if (waiters === undefined) this.#byKey.set(key, new Set([waiter]))
    else waiters.add(waiter)
    this.#size++
  }

  #remove(key: string, waiter: Waiter<T>): void {
    const waiters = this.#byKey.get(key)
    if (waiters?.delete(waiter) !== true) return
    this.#size--
    if (waiters.size === 0) this.#byKey.delete(key)
  }
}

function tooMany(limit: number): GatewayError {
  return new GatewayError('OVERLOADED', `${limit} requests wait for models to load already; come back later`, {
    retryAfterMs: 1000,
    details: { waiting: limit },
  })
}
