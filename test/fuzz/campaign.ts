/** Runs many cases of a target, batch after batch, up to the first finding. A batch that stands still is ended: that is a finding too. */
import { Worker } from 'node:worker_threads'
import { systemClock } from '../../src/lib/clock.ts'
import type { Batch, BatchEnd } from './batch.ts'
import { PULSE } from './batch.ts'
import { Dice } from './dice.ts'
import type { Finding } from './judge.ts'
import { targetNamed } from './targets/index.ts'

export interface CampaignOptions {
  readonly target: string
  readonly seed: number
  readonly cases: number
  /** Number of the first case; default 0. */
  readonly from?: number
  /** How long one case may take before it counts as hanging; default 10 s. */
  readonly hangMs?: number
  readonly onProgress?: (progress: Tally) => void
}

export interface Tally {
  readonly cases: number
  readonly accepted: number
  readonly refused: number
}

export interface Outcome extends Tally {
  readonly found?: FoundCase
}

export interface FoundCase extends Finding {
  readonly seed: number
  readonly caseNumber: number
  readonly input: Buffer
  /** The smallest input that shows the same; the input itself when the case ended its thread. */
  readonly smallest: Buffer
}

const BATCH_CASES = 25_000
const HANG_MS = 10_000
/** So large that a case seldom sees a collection, which would hide what it allocates. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 256, maxOldGenerationSizeMb: 2048 }

export async function runCampaign(options: CampaignOptions): Promise<Outcome> {
  const { target, seed, cases, from = 0, hangMs = HANG_MS, onProgress } = options
  let accepted = 0
  let refused = 0
  for (let at = from; at < from + cases; at += BATCH_CASES) {
    const pulse = new SharedArrayBuffer(PULSE.words * Int32Array.BYTES_PER_ELEMENT)
    const to = Math.min(at + BATCH_CASES, from + cases)
    const found = await runBatch({ target, seed, from: at, to, pulse }, hangMs)
    const words = new Int32Array(pulse)
    accepted += words[PULSE.accepted] ?? 0
    refused += words[PULSE.refused] ?? 0
    const tally = { cases: accepted + refused + (found === undefined ? 0 : 1), accepted, refused }
    onProgress?.(tally)
    if (found !== undefined) return { ...tally, found }
  }
  return { cases, accepted, refused }
}

function runBatch(batch: Batch, hangMs: number): Promise<FoundCase | undefined> {
  const words = new Int32Array(batch.pulse)
  return new Promise((resolve) => {
    const thread = new Worker(new URL('./batch-main.ts', import.meta.url), {
      workerData: batch,
      resourceLimits: RESOURCE_LIMITS,
    })
    let lastBeat = -1
    const watch = systemClock.every(hangMs, () => {
      const beat = Atomics.load(words, PULSE.beat)
      if (beat === lastBeat) settle(lost('hang', `no end after ${hangMs} ms`))
      lastBeat = beat
    })
    const settle = (found: FoundCase | undefined): void => {
      watch.cancel()
      // Its end is nobody's concern any more.
      thread.terminate().catch(() => {})
      resolve(found)
    }
    const lost = (kind: 'hang' | 'death', what: string): FoundCase => {
      const caseNumber = Atomics.load(words, PULSE.caseNumber)
      const input = targetNamed(batch.target).make(new Dice(batch.seed, caseNumber))
      return { kind, what, seed: batch.seed, caseNumber, input, smallest: input }
    }
    thread.once('message', ({ found }: BatchEnd) => {
      if (found === undefined) return settle(undefined)
      const { finding, caseNumber, input, smallest } = found
      settle({ ...finding, seed: batch.seed, caseNumber, input: Buffer.from(input), smallest: Buffer.from(smallest) })
    })
    thread.once('error', (error) => settle(lost('death', String(error))))
    thread.once('exit', (code) => settle(lost('death', `the thread ended with ${code}`)))
  })
}
