/** Content of a small file: while the file is wrong, its last good content stays in force and the problem is told. */
export class LastGood<T> {
  #value: T | undefined
  #problem: string | undefined

  /** The last good content; undefined when there was none. */
  get value(): T | undefined {
    return this.#value
  }

  /** What is wrong with the file as it is now. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** The file as it is now, read and parsed by `read`. Whether `value` or `problem` changed. */
  take(read: () => T): boolean {
    const problemBefore = this.#problem
    try {
      this.#value = read()
      this.#problem = undefined
      return true
    } catch (error) {
      this.#problem = error instanceof Error ? error.message : String(error)
      return this.#problem !== problemBefore
    }
  }

  /** The file is gone. */
  forget(): void {
    this.#value = undefined
    this.#problem = undefined
  }
}
