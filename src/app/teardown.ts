/** What was started, to be ended in the opposite order: at the end of a life, or when its beginning fails half-way. */
export class Teardown {
  readonly #steps: (() => unknown)[] = []

  /** `step` must not throw. */
  add(step: () => unknown): void {
    this.#steps.push(step)
  }

  /** Each step runs once, also when called again. */
  async run(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) await step()
  }
}
