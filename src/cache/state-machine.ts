/**
 * One way to change a state: look the move up, refuse an illegal one, stamp the clock, publish one event.
 * Owns no subjects; entries and placements each hand in their table of legal moves.
 */
import type { Clock } from '../lib/clock.ts'

/** A state change as it is published; `at` is monotonic milliseconds. */
export interface Move<S extends string> {
  readonly key: string
  readonly from: S
  readonly to: S
  readonly at: number
  readonly reason?: string
}

/** A thing with a state. Only `StateMachine.transition` writes `status` and `since`. */
export interface Stateful<Status extends { readonly s: string }> {
  readonly key: string
  status: Status
  /** Monotonic milliseconds of the last move. */
  since: number
}

export interface StateMachineOptions<S extends string> {
  /** What moves, for messages: `entry`, `placement`. */
  readonly noun: string
  readonly next: Readonly<Record<S, readonly S[]>>
  /** States published before they take hold; all others are published after. */
  readonly announced: readonly S[]
  readonly clock: Clock
  /** Called once a move, synchronously; must not throw. */
  readonly publish: (move: Move<S>) => void
}

export class StateMachine<Status extends { readonly s: string }> {
  readonly #options: StateMachineOptions<Status['s']>

  constructor(options: StateMachineOptions<Status['s']>) {
    this.#options = options
  }

  /** @throws Error on a move that the table does not list: a broken invariant, never a caller's fault */
  transition(subject: Stateful<Status>, to: Status, reason?: string): void {
    const { noun, next, announced, clock, publish } = this.#options
    const from: Status['s'] = subject.status.s
    const target: Status['s'] = to.s
    if (!next[from].includes(target)) throw new Error(`${noun} ${subject.key} cannot go from ${from} to ${target}`)
    const at = clock.now()
    const move = { key: subject.key, from, to: target, at, ...(reason === undefined ? {} : { reason }) }
    const isAnnounced = announced.includes(target)
    if (isAnnounced) publish(move)
    subject.status = to
    subject.since = at
    if (!isAnnounced) publish(move)
  }
}
