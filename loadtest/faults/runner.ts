/** Runs fault rows one after the other, each on a stage of its own, and says what came of them. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, systemClock } from '../../src/lib/clock.ts'
import { type FaultFinding, type FaultResult, type FaultRow, NotRunnable, type Verdict } from './fault.ts'
import { FaultStage } from './stage.ts'

export interface RunnerOptions {
  /** Each row works in a folder below it, gone afterwards. */
  readonly folder: string
  readonly isQuick: boolean
  readonly signal: AbortSignal
  readonly clock?: Clock
  progress(text: string): void
  onResult?(result: FaultResult): void
}

export async function runFaults(rows: readonly FaultRow[], options: RunnerOptions): Promise<FaultResult[]> {
  const results: FaultResult[] = []
  for (const row of rows) {
    options.signal.throwIfAborted()
    const result = await runFault(row, options)
    options.onResult?.(result)
    results.push(result)
  }
  return results
}

async function runFault(row: FaultRow, options: RunnerOptions): Promise<FaultResult> {
  const clock = options.clock ?? systemClock
  const folder = join(options.folder, `row-${row.number}`)
  await rm(folder, { recursive: true, force: true })
  const stage = new FaultStage(folder, options.signal, options.isQuick, (text) =>
    options.progress(`${row.number} ${row.fault}: ${text}`),
  )
  stage.progress('begins')
  const from = clock.now()
  const { number, fault, injected, expected, limitSeconds } = row
  const said = { number, fault, injected, expected, limitSeconds }
  const took = (): number => (clock.now() - from) / 1000
  try {
    const finding = await row.run(stage)
    return { ...said, ...judged(finding, limitSeconds), tookSeconds: took() }
  } catch (error) {
    options.signal.throwIfAborted()
    const reason = error instanceof Error ? error.message : String(error)
    if (error instanceof NotRunnable) {
      return { ...said, verdict: 'not run', measured: reason, problems: [], tookSeconds: took() }
    }
    return { ...said, verdict: 'failed', measured: '', problems: [reason], tookSeconds: took() }
  } finally {
    await stage.end()
    await rm(folder, { recursive: true, force: true })
  }
}

/** A row holds when everything that it looks at does, within its time. */
export function judged(
  { seconds, measured, problems }: FaultFinding,
  limitSeconds: number,
): Pick<FaultResult, 'verdict' | 'seconds' | 'measured' | 'problems'> {
  const isInTime = seconds <= limitSeconds
  const all = isInTime ? problems : [...problems, `took ${seconds.toFixed(2)} s, limit ${limitSeconds} s`]
  const verdict: Verdict = all.length === 0 ? 'passed' : 'failed'
  return { verdict, seconds, measured, problems: all }
}
