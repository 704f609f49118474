/**
 * How many reads are under way at once: additive increase, multiplicative decrease (Chiu and Jain, 1989). Halved when the store asks
 * to slow down, one more after as many reads as the limit went well, never above `max`.
 */
export class ReadGate {
  readonly #max: number
  readonly #line: Array<() => void> = []
  #limit: number
  #held = 0
  #wentWell = 0
  /** Counts the decreases: reads that began before the last one say nothing about the limit after it. */
  #epoch = 0

  constructor(max: number) {
    if (!(max >= 1)) throw new RangeError(`a gate needs a limit of at least 1, not ${max}`)
    this.#max = max
    this.#limit = max
  }

  get limit(): number {
    return this.#limit
  }

  get held(): number {
    return this.#held
  }

  /** `isSlowDown` tells an error that asks for fewer. @throws as `read` does, or the signal's reason before its turn came */
  async use<T>(read: () => Promise<T>, isSlowDown: (error: unknown) => boolean, signal: AbortSignal): Promise<T> {
    await this.#enter(signal)
    const epoch = this.#epoch
    try {
      const result = await read()
      this.#grow()
      return result
    } catch (error) {
      if (epoch === this.#epoch && isSlowDown(error)) this.#shrink()
      throw error
    } finally {
      this.#held--
      this.#admit()
    }
  }

  #enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    return new Promise((resolve, reject) => {
      const turn = (): void => {
        signal.removeEventListener('abort', leave)
        this.#held++
        resolve()
      }
      const leave = (): void => {
        this.#line.splice(this.#line.indexOf(turn), 1)
        reject(signal.reason)
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#line.push(turn)
      this.#admit()
    })
  }

  #admit(): void {
    while (this.#held < this.#limit) {
      const turn = this.#line.shift()
      if (turn === undefined) return
      turn()
    }
  }

  #shrink(): void {
    this.#limit = Math.max(1, Math.floor(this.#limit / 2))
    this.#epoch++
    this.#wentWell = 0
  }

  #grow(): void {
    if (this.#limit >= this.#max || ++this.#wentWell < this.#limit) return
    this.#limit++
    this.#wentWell = 0
  }
}
