/**
 * Compiles and removals of blobs, apart: a compile may be about to refer to any blob that lies there, manifest or not, so nobody takes
 * one away while a compile is under way. Compiles share the gate among each other.
 */
import { detach } from '../lib/detach.ts'

export class CompileGate {
  #compiles = 0
  /** Fulfils when the removal under way or waited for has ended, well or not. Compiles that come later let it go first. */
  #removal: Promise<unknown> | undefined
  #onIdle: (() => void)[] = []
  readonly #later = new Set<() => Promise<void>>()

  /** No compile is under way. */
  get isIdle(): boolean {
    return this.#compiles === 0
  }

  /** From before the compiler looks at blobs until the manifest that names them counts. */
  async compile<T>(work: () => Promise<T>): Promise<T> {
    while (this.#removal !== undefined) await this.#removal
    this.#compiles++
    try {
      return await work()
    } finally {
      this.#compiles--
      if (this.#compiles === 0) this.#idle()
    }
  }

  /**
   * A removal that nobody waits for and that makes no compile wait for others: as soon as none is under way. `work` must not reject;
   * the same function twice is one removal.
   */
  removeLater(work: () => Promise<void>): void {
    this.#later.add(work)
    if (this.isIdle) this.#idle()
  }

  /** When the compiles under way have ended, which takes as long as their deadlines at most; not to be called from within one. */
  async remove<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#removal
    const removal = (async () => {
      await before
      if (this.#compiles > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve))
      return await work()
    })()
    const settled = Promise.allSettled([removal])
    this.#removal = settled
    try {
      return await removal
    } finally {
      // The last of several opens the gate again.
      if (this.#removal === settled) this.#removal = undefined
    }
  }

  #idle(): void {
    for (const resolve of this.#onIdle.splice(0)) resolve()
    for (const work of this.#later) detach(this.remove(work))
    this.#later.clear()
  }
}
