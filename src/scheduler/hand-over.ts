/** How much of a model's queue a worker takes at once: enough to be busy, never so much that others wait behind it for long. */

export interface HandOverLimits {
  readonly minBatchMs: number
  readonly maxBatchMs: number
  /** Bytes of request bodies. */
  readonly maxBytes: number
}

/** What is known of the model whose turn it is. */
export interface ModelPace {
  readonly isBatchSafe: boolean
  /** Rows in one stacked run; a request counts as one row, because bodies are opaque here. */
  readonly maxRows: number
  readonly singleMs: number
  /** Of a request in company: stacked if batch-safe, else as `singleMs`. */
  readonly eachMs: number
  /** Extra memory of each row in a stacked run, and how much the stacked run may take beyond a single one. */
  readonly activationBytesPerRow: number
  readonly activationBudgetBytes: number
}

/** A hand-over lasts as long as a few single runs, or stacking would gain little over the cost of handing over. */
const SINGLE_RUNS = 4

/** Expected milliseconds that a hand-over of this model may last. */
export function handOverMs(singleMs: number, { minBatchMs, maxBatchMs }: HandOverLimits): number {
  return Math.min(maxBatchMs, Math.max(minBatchMs, SINGLE_RUNS * singleMs))
}

/** How many of `items`, first come first, make the next hand-over; at least 1 if there is one. Reads no further than needed. */
export function composeHandOver(
  items: Iterable<{ readonly bytes: number }>,
  pace: ModelPace,
  limits: HandOverLimits,
): number {
  const most = mostRequests(pace, limits)
  let count = 0
  let bytes = 0
  for (const item of items) {
    bytes += item.bytes
    if (count > 0 && (count >= most || bytes > limits.maxBytes)) break
    count++
  }
  return count
}

/** Expected milliseconds of a hand-over of `count` requests. */
export function expectedMs(count: number, { singleMs, eachMs }: ModelPace): number {
  return count === 1 ? singleMs : Math.max(singleMs, count * eachMs)
}

function mostRequests(pace: ModelPace, limits: HandOverLimits): number {
  const budgetMs = handOverMs(pace.singleMs, limits)
  const byTime = pace.eachMs > 0 ? Math.floor(budgetMs / pace.eachMs) : Number.POSITIVE_INFINITY
  if (!pace.isBatchSafe) return byTime
  const { activationBytesPerRow, activationBudgetBytes, maxRows } = pace
  const byMemory =
    activationBytesPerRow > 0 ? 1 + Math.floor(activationBudgetBytes / activationBytesPerRow) : Number.POSITIVE_INFINITY
  return Math.min(byTime, byMemory, maxRows)
}
