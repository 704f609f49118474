/** What B3's measurements amount to. */
import type { LoadReport } from '../generator/plan.ts'
import type { MetricsSnapshot } from '../measure/metrics.ts'
import type { TreeUsage } from '../measure/process-tree.ts'
import { pairedRatio, type Spread } from '../measure/statistics.ts'
import type { ClassName } from '../models/index.ts'
import { besideTables, type PeerRun } from '../peers/beside.ts'
import type { BenchFindings, Cell, Chart, Gate, Table } from '../report/bench-result.ts'
import type { HeapReport } from './heap-main.ts'
import { LOAD_COLUMNS, type LoadSamples, loadCells } from './samples.ts'

export const SIDES = ['few', 'many'] as const
export type Side = (typeof SIDES)[number]
const TOUCHES = ['first touch', 'second touch', 'remaining touches'] as const

export interface ClassRun {
  readonly className: ClassName
  readonly counts: Readonly<Record<Side, number>>
  /** Keys: the sides, and the touches of the side with many. */
  readonly samples: LoadSamples
  readonly usage: Readonly<Record<Side, TreeUsage>>
  readonly metrics: Record<Side, MetricsSnapshot>
  /** Of XS only. */
  readonly peer: PeerRun | undefined
}

export function findings(runs: readonly ClassRun[], heap: HeapReport | undefined): BenchFindings {
  const peers = runs.flatMap(({ peer }) => peer ?? [])
  const all = [...runs.map(({ samples }) => samples), ...peers.map(({ samples }) => samples)]
  const columns = [{ title: 'class' }, { title: 'registered' }, { title: 'asked for' }]
  return {
    tables: [
      zipfTable(runs),
      touchTable(runs),
      memoryTable(runs, heap),
      ...peers.flatMap((peer) => besideTables(peer, columns)),
    ],
    gates: gatesOf(runs, heap),
    charts: [throughputChart(runs)],
    notes: [
      'Zipf 1.1, closed loop of 32, JSON, one row; page cache warm; budget 0.7 of the memory for each of the two servers.',
      ...peers.map(({ note }) => note),
      ...runs.flatMap(({ className, samples }) => samples.problems.map((problem) => `${className}, ${problem}`)),
      ...peers.flatMap(({ samples }) => samples.problems),
    ],
    wrong: all.reduce((sum, { wrong }) => sum + wrong, 0),
    errors: all.reduce((sum, { errors }) => sum + errors, 0),
  }
}

/** Throughput with many models as a share of that with few. */
function share({ samples }: ClassRun): Spread {
  const rps = (report: LoadReport) => report.rps
  return pairedRatio(samples.values('many', rps), samples.values('few', rps))
}

/** Median first touch above the median of the same requests when the models are open. */
function touchAboveRun({ samples }: ClassRun): number {
  const p50 = (key: string) => samples.spread(key, ({ latency }) => latency.p50).median
  return p50('first touch') - p50('second touch')
}

function gatesOf(runs: readonly ClassRun[], heap: HeapReport | undefined): Gate[] {
  const xs = runs.filter(({ className }) => className === 'XS')
  return [
    ...xs.flatMap((run): Gate[] => [
      {
        name: `XS: answers per second with ${run.counts.many} models against ${run.counts.few}`,
        value: share(run).median,
        unit: 'x',
        bound: 'at least',
        limit: 0.85,
      },
      {
        name: 'XS: first touch above its run, median',
        value: touchAboveRun(run),
        unit: 'ms',
        bound: 'at most',
        limit: 25,
      },
    ]),
    {
      name: 'heap of the registry per model',
      value: heap?.heapBytesPerModel ?? Number.NaN,
      unit: 'B',
      bound: 'at most',
      limit: 2048,
    },
  ]
}

function zipfTable(runs: readonly ClassRun[]): Table {
  return {
    title: 'Zipf traffic after every model was touched once',
    columns: [
      { title: 'class' },
      { title: 'models' },
      ...LOAD_COLUMNS,
      { title: 'hit ratio' },
      { title: 'loads', unit: '1/s' },
      { title: 'of the few', unit: 'x' },
    ],
    rows: runs.flatMap((run) =>
      SIDES.map((side): Cell[] => [
        run.className,
        run.counts[side],
        ...loadCells(run.samples, side),
        run.samples.spread(side, hitRatio).median,
        run.samples.spread(side, loadsPerSecond).median,
        side === 'many' ? share(run) : undefined,
      ]),
    ),
  }
}

function touchTable(runs: readonly ClassRun[]): Table {
  return {
    title: 'Touches of the many',
    columns: [
      { title: 'class' },
      { title: 'touch' },
      { title: 'models' },
      { title: 'per second' },
      { title: 'p50', unit: 'ms' },
      { title: 'p99', unit: 'ms' },
      { title: 'max', unit: 'ms' },
      { title: 'errors' },
    ],
    rows: runs.flatMap(({ className, samples }) =>
      TOUCHES.map((key): Cell[] => {
        const of = (read: (report: LoadReport) => number) => samples.spread(key, read).median
        const [, p50, , p99, , errors] = loadCells(samples, key)
        const touched = of(({ answered }) => answered)
        return [className, key, touched, of(({ rps }) => rps), p50, p99, of(({ latency }) => latency.max), errors]
      }),
    ),
  }
}

function memoryTable(runs: readonly ClassRun[], heap: HeapReport | undefined): Table {
  const mib = (bytes: number) => bytes / 2 ** 20
  const isMeasured = (className: ClassName, side: Side) => className === runs[0]?.className && side === 'many'
  const rows = runs.flatMap(({ className, counts, usage, metrics }) =>
    SIDES.map((side): Cell[] => [
      className,
      counts[side],
      metrics[side].sum('modelmux_models_resident'),
      mib(metrics[side].sum('modelmux_ledger_bytes')),
      mib(usage[side].pssBytes),
      mib(usage[side].privateBytes),
      mib(metrics[side].sum('modelmux_process_resident_bytes')),
      isMeasured(className, side) ? heap?.heapBytesPerModel : undefined,
      isMeasured(className, side) ? heap?.residentBytesPerModel : undefined,
    ]),
  )
  return {
    title: 'Memory at the end',
    columns: [
      { title: 'class' },
      { title: 'registered' },
      { title: 'resident' },
      { title: 'ledger', unit: 'MiB' },
      { title: 'PSS', unit: 'MiB' },
      { title: 'private', unit: 'MiB' },
      { title: 'main process', unit: 'MiB' },
      { title: 'registry heap', unit: 'B/model' },
      { title: 'registry resident', unit: 'B/model' },
    ],
    rows,
  }
}

function throughputChart(runs: readonly ClassRun[]): Chart {
  return {
    id: 'throughput',
    title: 'Few models and many: answers per second',
    kind: 'bars',
    xTitle: 'class of model',
    yTitle: 'answers per second',
    series: SIDES.map((side) => ({
      name: side === 'few' ? '10 models' : 'all models',
      points: runs.map(({ className, counts, samples }) => {
        const { median, min, max } = samples.spread(side, ({ rps }) => rps)
        return { x: `${className} (${counts.many})`, y: median, low: min, high: max }
      }),
    })),
  }
}

function outcomes({ cache }: LoadReport): { hits: number; loads: number; all: number } {
  const all = Object.values(cache).reduce((sum, count) => sum + count, 0)
  return { hits: cache.hit ?? 0, loads: (cache.load ?? 0) + (cache.compile ?? 0), all }
}

export function hitRatio(report: LoadReport): number {
  const { hits, all } = outcomes(report)
  return all === 0 ? Number.NaN : hits / all
}

export function loadsPerSecond(report: LoadReport): number {
  return outcomes(report).loads / report.seconds
}
