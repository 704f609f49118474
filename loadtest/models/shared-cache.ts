/** Keeps what the customers of one seed share, by name; asked for another seed it forgets the last one, so memory stays at one set. */
export class SharedCache<Value> {
  readonly #values = new Map<string, Value>()
  #seed = Number.NaN

  get(seed: number, name: string, make: () => Value): Value {
    if (seed !== this.#seed) {
      this.#values.clear()
      this.#seed = seed
    }
    const kept = this.#values.get(name)
    if (kept !== undefined) return kept
    const made = make()
    this.#values.set(name, made)
    return made
  }
}
