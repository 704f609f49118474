/** The right to use a ready entry: while it is held, the entry is not evicted. Release in `finally`, or with `using`. */
export class Lease implements Disposable {
  readonly key: string
  #release: (() => void) | undefined

  constructor(key: string, release: () => void) {
    this.key = key
    this.#release = release
  }

  /** Idempotent. */
  release(): void {
    const release = this.#release
    this.#release = undefined
    release?.()
  }

  [Symbol.dispose](): void {
    this.release()
  }
}
