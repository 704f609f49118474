/**
 * Looks after workers that are at one run for too long, in three steps: what waits behind it is taken back; where others wait, the
 * worker's slot is given to a fresh process, and the run goes on behind everybody else; at last the process is killed.
 */
import type { Clock, Timer } from '../lib/clock.ts'
import type { Lane } from './lane.ts'
import type { Lanes } from './lanes.ts'

export interface HangWatchOptions {
  readonly clock: Clock
  readonly lanes: Lanes
  /** A worker that is longer than this at one hand-over, and than 20 times what that was expected to take, hangs. */
  readonly hangMs: number
  /** The worker hung and is killed. */
  readonly onHang: (workerId: string, key: string) => void
  /** The slot's worker is out of all proportion long at a run, and others could do with it. Called again while that is so. */
  readonly onStuck: (slot: string) => void
  /** Does anything wait for a worker? */
  readonly isWaitedFor: () => boolean
}

const LOOK_MS = 250
export const HANG_TIMES_EXPECTED = 20
/** A large model that could not be compiled is optimised at every open. */
export const OPEN_HANG_TIMES = 10

export class HangWatch {
  readonly #options: HangWatchOptions
  readonly #timer: Timer

  constructor(options: HangWatchOptions) {
    this.#options = options
    this.#timer = options.clock.every(LOOK_MS, () => this.#look())
  }

  /** Idempotent. */
  close(): void {
    this.#timer.cancel()
  }

  /** A deadline ends a request's wait, never a worker: only a run out of all proportion does; others need not wait for that. */
  #look(): void {
    const { lanes, hangMs, onHang, onStuck } = this.#options
    const limitMs = (kind: 'open' | 'run' | 'close', expectedMs: number) =>
      (kind === 'open' ? OPEN_HANG_TIMES : 1) * Math.max(hangMs, HANG_TIMES_EXPECTED * expectedMs)
    for (const lane of lanes.all()) {
      if (lanes.hasOther(lane)) lane.recallStuck()
      const hanging = lane.hangingOn(limitMs)
      if (hanging === undefined) {
        if (this.#isToBeRelieved(lane)) onStuck(lane.slot)
        continue
      }
      onHang(lane.id, hanging.key)
      lane.kill('hang')
    }
  }

  /** Once for a tenant at a time: one with endless runs must not have a process for each. */
  #isToBeRelieved(lane: Lane): boolean {
    const { lanes, isWaitedFor } = this.#options
    if (!lane.isStuck || lanes.of(lane.slot) !== lane || !isWaitedFor()) return false
    const { slot, overdueTenant } = lane
    return !lanes.leaving().some((one) => one.slot === slot || one.overdueTenant === overdueTenant)
  }
}
