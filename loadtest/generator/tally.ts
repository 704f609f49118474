/** Counts one stretch of a load: answers, latencies, errors, cache outcomes. */
import type { Clock } from '../../src/lib/clock.ts'
import { LatencyRecorder } from './latency.ts'
import type { LoadReport } from './plan.ts'

/** What became of one request. */
export type Observation =
  /** A 200 that was right, or not looked into. */
  | { readonly kind: 'right'; readonly ms: number; readonly cache: string | undefined }
  | { readonly kind: 'wrong'; readonly problem: string }
  /** `error` groups them: `status 503`, `timeout`, `connection`, `unsent`. */
  | { readonly kind: 'error'; readonly error: string; readonly problem: string }

export class Tally {
  readonly #clock: Clock
  readonly #latency = new LatencyRecorder()
  readonly #lateness = new LatencyRecorder()
  #errors: Record<string, number> = {}
  #cache: Record<string, number> = {}
  #answered = 0
  #wrong = 0
  #firstProblem: string | undefined
  #startedAt: number
  #cpuAtStart: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#startedAt = clock.now()
    this.#cpuAtStart = cpuSeconds()
  }

  /** Forgets everything: a new stretch starts here. */
  restart(): void {
    this.#latency.reset()
    this.#lateness.reset()
    this.#errors = {}
    this.#cache = {}
    this.#answered = 0
    this.#wrong = 0
    this.#firstProblem = undefined
    this.#startedAt = this.#clock.now()
    this.#cpuAtStart = cpuSeconds()
  }

  add(observation: Observation): void {
    if (observation.kind === 'right') {
      this.#answered += 1
      this.#latency.record(observation.ms)
      const { cache } = observation
      if (cache !== undefined) this.#cache[cache] = (this.#cache[cache] ?? 0) + 1
      return
    }
    this.#firstProblem ??= observation.problem
    if (observation.kind === 'wrong') this.#wrong += 1
    else this.#errors[observation.error] = (this.#errors[observation.error] ?? 0) + 1
  }

  /** Milliseconds between the intended and the real start of a request. */
  late(ms: number): void {
    this.#lateness.record(ms)
  }

  report(): LoadReport {
    const seconds = Math.max((this.#clock.now() - this.#startedAt) / 1000, 1e-9)
    return {
      seconds,
      rps: this.#answered / seconds,
      latency: this.#latency.summary(),
      lateness: this.#lateness.summary(),
      answered: this.#answered,
      wrong: this.#wrong,
      errors: { ...this.#errors },
      cache: { ...this.#cache },
      generatorCpu: (cpuSeconds() - this.#cpuAtStart) / seconds,
      ...(this.#firstProblem === undefined ? {} : { firstProblem: this.#firstProblem }),
    }
  }
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}
