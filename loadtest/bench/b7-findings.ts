/** What B7's measurements amount to: the hot models' tail beside each kind of load against their tail alone. */
import type { LoadReport } from '../generator/plan.ts'
import type { MetricsSnapshot } from '../measure/metrics.ts'
import type { TreeUsage } from '../measure/process-tree.ts'
import { pairedRatio, type Spread, spreadOf } from '../measure/statistics.ts'
import type { BenchFindings, Cell, Chart, Gate, Table } from '../report/bench-result.ts'
import type { ProbedAnswer } from './http-probe.ts'
import { LOAD_COLUMNS, type LoadSamples, loadCells } from './samples.ts'

export const SIDES = ['alone', 'cached R', 'new R', 'new S'] as const
export type Side = (typeof SIDES)[number]
export const HOT = ['XS', 'Q'] as const
export type Hot = (typeof HOT)[number]

/** An answer of a model that was loaded beside the hot ones. */
export interface BesideAnswer extends ProbedAnswer {
  readonly side: Side
}

export interface IsolationRun {
  /** By `keyOf`. */
  readonly samples: LoadSamples
  readonly beside: readonly BesideAnswer[]
  readonly problems: readonly string[]
  readonly usage: TreeUsage
  readonly metrics: MetricsSnapshot
}

/** Sides whose ratio is a gate; the first touch of an R is a compile on the same cores, and only reported. */
const GATED: readonly Side[] = ['cached R', 'new S']
const PHASES = ['fetch', 'compile', 'page', 'queue', 'open', 'run'] as const
const MAX_RATIO = 1.5

export function keyOf(side: Side, hot: Hot): string {
  return `${hot}, ${side}`
}

export function findings(run: IsolationRun): BenchFindings {
  const { samples, beside, problems } = run
  return {
    tables: [hotTable(samples), besideTable(beside), memoryTable(run)],
    gates: GATED.flatMap((side) =>
      HOT.map(
        (hot): Gate => ({
          name: `hot ${hot} beside ${side}: p99 against alone`,
          value: tailRatio(samples, side, hot).median,
          unit: 'x',
          bound: 'at most',
          limit: MAX_RATIO,
        }),
      ),
    ),
    charts: [tailChart(samples)],
    notes: [
      'One hot XS at 200 and one hot Q at 20 requests a second, open loop, Poisson arrivals, binary bodies, latency from the intended send time; the same arrivals on all sides of a repetition.',
      'cached R: every second a compiled ResNet-50, its pages in memory, is opened, run once and given back. new R: one never seen every five seconds, its file in the page cache. new S: one never seen every second, its file dropped from the page cache first: the only store is a folder, so the local disk is as slow as a store gets here.',
      ...problems.slice(0, 3),
      ...samples.problems,
    ],
    wrong: samples.wrong + problems.length,
    errors: samples.errors,
  }
}

const p99 = ({ latency }: LoadReport): number => latency.p99

function tailRatio(samples: LoadSamples, side: Side, hot: Hot): Spread {
  return pairedRatio(samples.values(keyOf(side, hot), p99), samples.values(keyOf('alone', hot), p99))
}

function hotTable(samples: LoadSamples): Table {
  return {
    title: 'Hot models',
    columns: [{ title: 'hot' }, { title: 'beside' }, ...LOAD_COLUMNS, { title: 'p99 of alone', unit: 'x' }],
    rows: HOT.flatMap((hot) =>
      SIDES.map((side): Cell[] => [
        hot,
        side,
        ...loadCells(samples, keyOf(side, hot)),
        side === 'alone' ? undefined : tailRatio(samples, side, hot),
      ]),
    ),
  }
}

function besideTable(beside: readonly BesideAnswer[]): Table {
  const rows = SIDES.filter((side) => side !== 'alone').map((side): Cell[] => {
    const answers = beside.filter((answer) => answer.side === side)
    const phase = (name: string): Spread => spreadOf(answers.flatMap(({ phases }) => phases[name] ?? []))
    return [side, answers.length, spreadOf(answers.map(({ ms }) => ms)), ...PHASES.map((name) => phase(name).median)]
  })
  return {
    title: 'The models loaded meanwhile: time to their first answer, and medians by phase',
    columns: [
      { title: 'load' },
      { title: 'answers' },
      { title: 'first answer', unit: 'ms' },
      ...PHASES.map((name) => ({ title: name, unit: 'ms' })),
    ],
    rows,
  }
}

function memoryTable({ usage, metrics }: IsolationRun): Table {
  const mib = (bytes: number) => bytes / 2 ** 20
  return {
    title: 'The server at the end',
    columns: [
      { title: 'PSS', unit: 'MiB' },
      { title: 'private', unit: 'MiB' },
      { title: 'ledger', unit: 'MiB' },
      { title: 'loads' },
      { title: 'compiles' },
      { title: 'evictions' },
    ],
    rows: [
      [
        mib(usage.pssBytes),
        mib(usage.privateBytes),
        mib(metrics.sum('modelmux_ledger_bytes')),
        metrics.sum('modelmux_loads_total'),
        metrics.sum('modelmux_compiles_total'),
        metrics.sum('modelmux_evictions_total'),
      ],
    ],
  }
}

function tailChart(samples: LoadSamples): Chart {
  return {
    id: 'p99',
    title: 'p99 of the hot models, by what happens beside them',
    kind: 'bars',
    xTitle: 'hot model',
    yTitle: 'milliseconds',
    series: SIDES.map((side) => ({
      name: side,
      points: HOT.map((hot) => {
        const { median, min, max } = samples.spread(keyOf(side, hot), p99)
        return { x: hot, y: median, low: min, high: max }
      }),
    })),
  }
}
