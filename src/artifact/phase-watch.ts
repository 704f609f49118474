import { systemClock } from '../lib/clock.ts'

/** Milliseconds by phase: each mark takes the time since the one before. */
export class PhaseWatch {
  readonly timings: Record<string, number> = {}
  #last = systemClock.now()

  mark(phase: string): void {
    const now = systemClock.now()
    this.timings[phase] = now - this.#last
    this.#last = now
  }
}
