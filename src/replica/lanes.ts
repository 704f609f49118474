/** The processes that hand-overs go to: one for each slot, and those that only end what they were given before another took theirs. */
import { slotOf } from '../domain/worker-slot.ts'
import type { Clock } from '../lib/clock.ts'
import { Lane } from './lane.ts'
import type { SessionWorker } from './session-worker.ts'

export class Lanes {
  readonly #clock: Clock
  readonly #bySlot = new Map<string, Lane>()
  /** And who waits for their end. */
  readonly #leaving = new Map<Lane, () => void>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Slots with a process. */
  get size(): number {
    return this.#bySlot.size
  }

  of(slot: string): Lane | undefined {
    return this.#bySlot.get(slot)
  }

  /** Those that are given work. */
  serving(): Iterable<Lane> {
    return this.#bySlot.values()
  }

  /** Those that only end what they were given. */
  leaving(): Lane[] {
    return [...this.#leaving.keys()]
  }

  /** Those that leave, too. */
  all(): Lane[] {
    return [...this.#bySlot.values(), ...this.#leaving.keys()]
  }

  /** Is there one that could be given what this one has? */
  hasOther(lane: Lane): boolean {
    return this.#bySlot.size > (this.of(lane.slot) === lane ? 1 : 0)
  }

  add(worker: SessionWorker): void {
    this.#bySlot.set(worker.slot, new Lane(worker, this.#clock))
  }

  /** The worker has its slot from here on. Resolves when the one before has ended what it was given. */
  succeed(worker: SessionWorker): Promise<void> {
    const before = this.#bySlot.get(worker.slot)
    this.add(worker)
    if (before === undefined || before.isEmpty) return Promise.resolve()
    return new Promise((resolve) => this.#leaving.set(before, resolve))
  }

  /** The process is gone. @returns true when its slot has none now: a predecessor takes nothing from the one that has it */
  remove(workerId: string): boolean {
    for (const lane of this.#leaving.keys()) if (lane.id === workerId) lane.over()
    const slot = slotOf(workerId)
    const lane = this.#bySlot.get(slot)
    if (lane?.id !== workerId) return false
    lane.over()
    return this.#bySlot.delete(slot)
  }

  /** A hand-over of the lane ended. */
  ended(lane: Lane): void {
    if (!lane.isEmpty) return
    this.#leaving.get(lane)?.()
    this.#leaving.delete(lane)
  }
}
