/** Tells each problem of a path once, however often it is met, and again after it was gone. Bounded. */

const MAX_PROBLEMS = 10_000

export class ProblemLog {
  readonly #tell: (event: string, fields: { path: string; problem: string }) => void
  /** Problem by event and path. */
  readonly #known = new Map<string, string>()

  constructor(tell: (event: string, fields: { path: string; problem: string }) => void) {
    this.#tell = tell
  }

  /** `undefined`: there is no such problem, or not any more. */
  set(event: string, path: string, problem: string | undefined): void {
    if (problem === undefined && this.#known.size === 0) return
    const key = `${event}\0${path}`
    if (problem === undefined) {
      this.#known.delete(key)
    } else if (this.#known.get(key) !== problem) {
      this.#known.set(key, problem)
      this.#tell(event, { path, problem })
      if (this.#known.size > MAX_PROBLEMS) this.#dropOldest()
    }
  }

  #dropOldest(): void {
    for (const key of this.#known.keys()) {
      this.#known.delete(key)
      return
    }
  }

  /** The path is gone, and with it everything in it. */
  forgetBelow(path: string): void {
    for (const key of this.#known.keys()) {
      const known = key.slice(key.indexOf('\0') + 1)
      if (known === path || known.startsWith(`${path}/`)) this.#known.delete(key)
    }
  }
}
