/** Repetitions of load reports by what was measured, and the columns that every bench shows of them. */
import { errorCount, type LoadReport } from '../generator/plan.ts'
import { type Spread, spreadOf } from '../measure/statistics.ts'
import type { Cell, Column } from '../report/bench-result.ts'

export class LoadSamples {
  readonly #reports = new Map<string, LoadReport[]>()

  add(key: string, report: LoadReport): void {
    const list = this.#reports.get(key) ?? []
    list.push(report)
    this.#reports.set(key, list)
  }

  /** One value per repetition, in the order in which they were measured. */
  values(key: string, read: (report: LoadReport) => number): number[] {
    return (this.#reports.get(key) ?? []).map(read)
  }

  spread(key: string, read: (report: LoadReport) => number): Spread {
    return spreadOf(this.values(key, read))
  }

  get wrong(): number {
    return this.#all.reduce((sum, { wrong }) => sum + wrong, 0)
  }

  get errors(): number {
    return this.#all.reduce((sum, report) => sum + errorCount(report), 0)
  }

  /** The first wrong answers and errors, one per key. */
  get problems(): string[] {
    return [...this.#reports].flatMap(([key, reports]) => {
      const first = reports.find(({ firstProblem }) => firstProblem !== undefined)?.firstProblem
      return first === undefined ? [] : [`${key}: ${first}`]
    })
  }

  get #all(): LoadReport[] {
    return [...this.#reports.values()].flat()
  }
}

export const LOAD_COLUMNS: readonly Column[] = [
  { title: 'answers', unit: '1/s' },
  { title: 'p50', unit: 'ms' },
  { title: 'p95', unit: 'ms' },
  { title: 'p99', unit: 'ms' },
  { title: 'CPU', unit: 'ms/request' },
  { title: 'errors' },
]

/** Cells under `LOAD_COLUMNS`; percentiles are medians over the repetitions. */
export function loadCells(samples: LoadSamples, key: string): Cell[] {
  return [
    samples.spread(key, ({ rps }) => rps),
    samples.spread(key, ({ latency }) => latency.p50).median,
    samples.spread(key, ({ latency }) => latency.p95).median,
    samples.spread(key, ({ latency }) => latency.p99).median,
    samples.spread(key, cpuMsPerRequest).median,
    samples.values(key, errorCount).reduce((sum, count) => sum + count, 0),
  ]
}

export function cpuMsPerRequest({ serverCpuSeconds, answered }: LoadReport): number {
  return ((serverCpuSeconds ?? Number.NaN) * 1000) / answered
}
