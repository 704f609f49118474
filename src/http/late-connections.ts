/**
 * Connections whose request did not arrive in time. Node finds all that are over their time in one look and says so of each in the same
 * turn of the event loop: answering and closing thousands of them there would hold up everybody else's requests. They wait here and go a
 * few a turn, in the order they came.
 */
import type { Duplex } from 'node:stream'
import type { Clock } from '../lib/clock.ts'

/** An answer, its timer and the close cost some 50 µs together: half a millisecond a turn at most. */
const PER_TURN = 8
/** What has arrived meanwhile has its turn in between. */
const PAUSE_MS = 1

interface Late {
  readonly error: Error
  readonly socket: Duplex
}

export class LateConnections {
  readonly #clock: Clock
  readonly #end: (error: Error, socket: Duplex) => void
  #waiting: Late[] = []
  #isAtWork = false

  /** `end` is called once for each connection, unless that is gone by then. */
  constructor(clock: Clock, end: (error: Error, socket: Duplex) => void) {
    this.#clock = clock
    this.#end = end
  }

  add(error: Error, socket: Duplex): void {
    this.#waiting.push({ error, socket })
    if (this.#isAtWork) return
    this.#isAtWork = true
    this.#pause()
  }

  get waiting(): number {
    return this.#waiting.length
  }

  #pause(): void {
    this.#clock.after(PAUSE_MS, () => this.#turn())
  }

  #turn(): void {
    const turn = this.#waiting.slice(0, PER_TURN)
    this.#waiting = this.#waiting.slice(PER_TURN)
    for (const { error, socket } of turn) if (!socket.destroyed) this.#end(error, socket)
    this.#isAtWork = this.#waiting.length > 0
    if (this.#isAtWork) this.#pause()
  }
}
