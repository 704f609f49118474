/**
 * How long models take, learnt from what workers report: moving averages per model (weight 0.2 for the latest), bounded in number.
 * A model not seen yet is taken for an average one.
 */
import { LRUCache } from 'lru-cache'

interface Learnt {
  /** Milliseconds of a request that ran alone. */
  singleMs: number | undefined
  /** Milliseconds per request of a stacked run. */
  stackedMs: number | undefined
  openMs: number | undefined
}

/** What a worker reports of a hand-over; decoding and encoding count, they keep the worker busy too. */
export interface RunObservation {
  readonly requests: number
  /** Runs of the engine; fewer than `requests` when some were stacked. */
  readonly runs: number
  readonly busyMs: number
}

const LATEST = 0.2
/** Before anything was measured. */
const FIRST_GUESS_MS = 5

export class Estimates {
  readonly #models: LRUCache<string, Learnt>
  #singleMs: number | undefined
  #openMs: number | undefined

  constructor(maxModels: number) {
    this.#models = new LRUCache({ max: maxModels })
  }

  observeRun(key: string, { requests, runs, busyMs }: RunObservation): void {
    if (requests <= 0 || !(busyMs >= 0)) return
    const learnt = this.#learnt(key)
    const eachMs = busyMs / requests
    if (runs < requests) {
      learnt.stackedMs = blend(learnt.stackedMs, eachMs)
      return
    }
    learnt.singleMs = blend(learnt.singleMs, eachMs)
    this.#singleMs = blend(this.#singleMs, eachMs)
  }

  /** What bringing a resident model's session up took, page-in included. */
  observeOpen(key: string, openMs: number): void {
    const learnt = this.#learnt(key)
    learnt.openMs = blend(learnt.openMs, openMs)
    this.#openMs = blend(this.#openMs, openMs)
  }

  /** Milliseconds of one request that runs alone. */
  singleMs(key: string): number {
    const learnt = this.#models.peek(key)
    return learnt?.singleMs ?? learnt?.stackedMs ?? this.#singleMs ?? FIRST_GUESS_MS
  }

  /** Milliseconds of each request in company; the single run's until a stacked one was seen. */
  eachMs(key: string, isStacked: boolean): number {
    const stackedMs = isStacked ? this.#models.peek(key)?.stackedMs : undefined
    return stackedMs ?? this.singleMs(key)
  }

  openMs(key: string): number {
    return this.#models.peek(key)?.openMs ?? this.#openMs ?? FIRST_GUESS_MS
  }

  #learnt(key: string): Learnt {
    let learnt = this.#models.get(key)
    if (learnt === undefined) {
      learnt = { singleMs: undefined, stackedMs: undefined, openMs: undefined }
      this.#models.set(key, learnt)
    }
    return learnt
  }
}

function blend(before: number | undefined, latest: number): number {
  return before === undefined ? latest : before + LATEST * (latest - before)
}
