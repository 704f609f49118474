/** At most `limit` holders at a time, the others in order of arrival; a waiter that aborts leaves the line. */
export class Semaphore {
  readonly #limit: number
  readonly #line: Array<() => void> = []
  #held = 0

  constructor(limit: number) {
    if (!(limit >= 1)) throw new RangeError(`a semaphore needs a limit of at least 1, not ${limit}`)
    this.#limit = limit
  }

  /** Runs `task` while holding a place. @throws the signal's reason if it aborts before the turn came */
  async use<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.#enter(signal)
    try {
      return await task()
    } finally {
      const next = this.#line.shift()
      if (next === undefined) this.#held--
      else next()
    }
  }

  get held(): number {
    return this.#held
  }

  get waiting(): number {
    return this.#line.length
  }

  #enter(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (this.#held < this.#limit) {
      this.#held++
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const turn = () => {
        signal?.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        const place = this.#line.indexOf(turn)
        if (place !== -1) this.#line.splice(place, 1)
        reject(signal?.reason)
      }
      this.#line.push(turn)
      signal?.addEventListener('abort', leave, { once: true })
    })
  }
}
