/** A place where calls wait while it is shut, each until the test lets it through or fails it: races are scripted, not slept. */
interface Held {
  readonly label: string
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class Gate {
  #isShut = false
  readonly #held: Held[] = []

  /** Calls that wait, in the order they came. */
  get waiting(): readonly string[] {
    return this.#held.map(({ label }) => label)
  }

  pass(label: string): Promise<void> {
    if (!this.#isShut) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#held.push({ label, resolve, reject })
    })
  }

  shut(): void {
    this.#isShut = true
  }

  /** Lets everyone through from now on. */
  open(): void {
    this.#isShut = false
    for (const { resolve } of this.#held.splice(0)) resolve()
  }

  /** Lets one call through: the first that waits, or the one at `place`. */
  let(place = 0): void {
    this.#take(place).resolve()
  }

  /** Fails one call. */
  fail(error: Error, place = 0): void {
    this.#take(place).reject(error)
  }

  /** Forgets who waits: their caller is gone. */
  drop(): void {
    this.#held.length = 0
  }

  #take(place: number): Held {
    const [held] = this.#held.splice(place, 1)
    if (held === undefined) throw new Error(`nobody waits at place ${place} of the gate`)
    return held
  }
}
