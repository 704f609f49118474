/**
 * Sums per model for the statistics of the inference protocol. Kept for models that answered lately; the least recently
 * used row goes when there are too many, as its model is long cold.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../lib/clock.ts'
import type { HandOverTimes } from '../worker/messages.ts'

/** A duration's sum and how often it was measured. */
export interface Tally {
  count: number
  ns: number
}

export interface BatchTally {
  readonly batchRows: number
  readonly computeInput: Tally
  readonly computeInfer: Tally
  readonly computeOutput: Tally
}

export interface StatisticsRow {
  lastInferenceMs: number
  /** Rows that were answered: the protocol counts a batch of 64 as 64. A request whose rows cannot be told apart counts as one. */
  inferenceCount: number
  executionCount: number
  readonly success: Tally
  readonly fail: Tally
  readonly queue: Tally
  readonly computeInput: Tally
  readonly computeInfer: Tally
  readonly computeOutput: Tally
  readonly cacheHit: Tally
  readonly cacheMiss: Tally
  readonly batches: Map<number, BatchTally>
}

const MAX_MODELS = 20_000
/** Distinct row counts remembered per model; larger batches than these are rare and share the last. */
const MAX_BATCH_SIZES = 32

export class StatisticsTable {
  readonly #clock: Clock
  readonly #rows = new LRUCache<string, StatisticsRow>({ max: MAX_MODELS })

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** One request answered or failed after `totalMs`, of which it queued `queueMs`. */
  request(key: string, isSuccess: boolean, isHit: boolean, totalMs: number, queueMs: number): void {
    const row = this.#row(key)
    add(isSuccess ? row.success : row.fail, totalMs)
    add(isHit ? row.cacheHit : row.cacheMiss, totalMs)
    add(row.queue, queueMs)
    if (isSuccess) row.lastInferenceMs = this.#clock.wall()
  }

  /** One hand-over, in one or several runs. */
  handOver(key: string, { runs, rows, decodeMs, runMs, encodeMs }: HandOverTimes): void {
    const row = this.#row(key)
    row.executionCount += runs
    row.inferenceCount += rows
    add(row.computeInput, decodeMs)
    add(row.computeInfer, runMs)
    add(row.computeOutput, encodeMs)
    if (runs === 0) return
    const batch = this.#batch(row, Math.max(1, Math.round(rows / runs)))
    add(batch.computeInput, decodeMs, runs)
    add(batch.computeInfer, runMs, runs)
    add(batch.computeOutput, encodeMs, runs)
  }

  get(key: string): StatisticsRow | undefined {
    return this.#rows.peek(key)
  }

  #row(key: string): StatisticsRow {
    let row = this.#rows.get(key)
    if (row === undefined) {
      row = {
        lastInferenceMs: 0,
        inferenceCount: 0,
        executionCount: 0,
        success: zero(),
        fail: zero(),
        queue: zero(),
        computeInput: zero(),
        computeInfer: zero(),
        computeOutput: zero(),
        cacheHit: zero(),
        cacheMiss: zero(),
        batches: new Map(),
      }
      this.#rows.set(key, row)
    }
    return row
  }

  #batch(row: StatisticsRow, batchRows: number): BatchTally {
    const known = row.batches.get(batchRows)
    if (known !== undefined) return known
    const last = row.batches.size >= MAX_BATCH_SIZES ? [...row.batches.values()].at(-1) : undefined
    if (last !== undefined) return last
    const batch = { batchRows, computeInput: zero(), computeInfer: zero(), computeOutput: zero() }
    row.batches.set(batchRows, batch)
    return batch
  }
}

function zero(): Tally {
  return { count: 0, ns: 0 }
}

function add(tally: Tally, ms: number, times = 1): void {
  tally.count += times
  tally.ns += Math.round(ms * 1e6)
}
