/**
 * Loads that wait for memory which is being given back: granted in order of arrival, each as soon as it fits.
 * Their demands are in the ledger as `awaiting`, so that room is made for all of them at once and not one by one.
 */
import type { Ledger } from './ledger.ts'

interface Claim {
  readonly resolve: () => void
  readonly reject: (reason: unknown) => void
}

export class ClaimQueue {
  readonly #ledger: Ledger
  readonly #claims = new Map<string, Claim>()

  constructor(ledger: Ledger) {
    this.#ledger = ledger
  }

  get size(): number {
    return this.#claims.size
  }

  has(key: string): boolean {
    return this.#claims.has(key)
  }

  /** Waits for the grant of a demand that the ledger lists as awaiting. An abort frees it there. */
  enlist(key: string, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#claims.delete(key)
        this.#ledger.free(key)
        reject(signal?.reason)
        this.grant()
      }
      const end = () => signal?.removeEventListener('abort', leave)
      this.#claims.set(key, {
        resolve: () => {
          end()
          resolve()
        },
        reject: (reason) => {
          end()
          reject(reason)
        },
      })
      signal?.addEventListener('abort', leave, { once: true })
    })
  }

  /** Grants what fits, oldest first; a claim that does not fit yet holds up those behind it, or a large one would never come. */
  grant(): void {
    for (const [key, claim] of this.#claims) {
      if (!this.#ledger.grant(key)) return
      this.#claims.delete(key)
      claim.resolve()
    }
  }

  /** The claim that came last. */
  get newest(): string | undefined {
    return [...this.#claims.keys()].at(-1)
  }

  /** Ends a claim without a grant and frees its demand; nothing if there is none. */
  refuse(key: string, reason: unknown): void {
    const claim = this.#claims.get(key)
    if (claim === undefined) return
    this.#claims.delete(key)
    this.#ledger.free(key)
    claim.reject(reason)
  }
}
