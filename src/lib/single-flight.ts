/** One call per key at a time; whoever asks meanwhile shares its outcome. The flight belongs to nobody: a caller that leaves does not end it. */
export class SingleFlight<K, V> {
  readonly #flights = new Map<K, Promise<V>>()

  /** Joins the flight of `key`, or starts one with `call`. */
  run(key: K, call: () => Promise<V>): Promise<V> {
    const current = this.#flights.get(key)
    if (current !== undefined) return current
    const flight = call().finally(() => this.#flights.delete(key))
    this.#flights.set(key, flight)
    return flight
  }

  has(key: K): boolean {
    return this.#flights.has(key)
  }

  get size(): number {
    return this.#flights.size
  }
}
