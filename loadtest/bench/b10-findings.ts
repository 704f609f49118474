/** What B10's measurements amount to: the quiet tenants' tail and errors beside the flood and the bombs, against theirs alone. */
import { errorCount, type LoadReport } from '../generator/plan.ts'
import type { MetricsSnapshot } from '../measure/metrics.ts'
import type { TreeUsage } from '../measure/process-tree.ts'
import { pairedRatio, type Spread, spreadOf } from '../measure/statistics.ts'
import type { BenchFindings, Cell, Chart, Table } from '../report/bench-result.ts'
import type { HostileTally } from './hostile-tenant.ts'
import { LOAD_COLUMNS, type LoadSamples, loadCells } from './samples.ts'

/** `both` is what the gates are about; the two before it say which of them it comes from. */
export const SIDES = ['alone', 'flood', 'hostile', 'both'] as const
export type Side = (typeof SIDES)[number]

export interface NeighbourRun {
  /** The quiet tenants', by side. */
  readonly samples: LoadSamples
  readonly floods: readonly LoadReport[]
  readonly hostile: HostileTally
  /** Bombs sent. */
  readonly bombs: number
  readonly counts: { readonly tenants: number; readonly models: number }
  readonly usage: TreeUsage
  readonly metrics: MetricsSnapshot
}

const MAX_RATIO = 2

export function findings(run: NeighbourRun): BenchFindings {
  const { samples, floods, counts, bombs } = run
  const floodProblems = floods.filter(({ wrong }) => wrong > 0).flatMap(({ firstProblem }) => firstProblem ?? [])
  return {
    tables: [quietTable(run), floodTable(floods), hostileTable(run), serverTable(run)],
    gates: [
      {
        name: `p99 of the ${counts.tenants} quiet tenants beside a flood and bombs, against alone`,
        value: ratio(samples, 'both', p99).median,
        unit: 'x',
        bound: 'at most',
        limit: MAX_RATIO,
      },
      { name: 'errors of the quiet tenants', value: samples.errors, unit: '', bound: 'at most', limit: 0 },
    ],
    charts: [tailChart(samples)],
    notes: [
      `${counts.tenants} quiet tenants with ${counts.models} models (of ten: eight XS, one S, one L), all open; together 200 requests a second, Gamma arrivals with a coefficient of variation of 8, uniform over the models, open loop, latency from the intended send time; the same arrivals on all sides of a repetition.`,
      `flood: one tenant with 1,000 requests a second (Poisson) over ten models of the same classes. hostile: one that sends 20 bad inputs and a bomb of another file every second (${bombs} in all), and every ten seconds a request that crashes, hangs or fills its worker or asks for an endless answer, each of a model of its own, so that no quarantine helps; a hang counts after 2 s, a worker may have 2 GiB, a compile 10 s. Generators and server share the machine.`,
      ...samples.problems,
      ...floodProblems.slice(0, 1).map((problem) => `flood: ${problem}`),
    ],
    wrong: samples.wrong + floods.reduce((sum, { wrong }) => sum + wrong, 0),
    errors: samples.errors,
  }
}

const p99 = ({ latency }: LoadReport): number => latency.p99

function ratio(samples: LoadSamples, side: Side, read: (report: LoadReport) => number): Spread {
  return pairedRatio(samples.values(side, read), samples.values('alone', read))
}

function quietTable({ samples }: NeighbourRun): Table {
  return {
    title: 'The quiet tenants',
    columns: [
      { title: 'side' },
      ...LOAD_COLUMNS,
      { title: 'p50 of alone', unit: 'x' },
      { title: 'p99 of alone', unit: 'x' },
    ],
    rows: SIDES.map((side): Cell[] => {
      const isAlone = side === 'alone'
      return [
        side,
        ...loadCells(samples, side),
        isAlone ? undefined : ratio(samples, side, ({ latency }) => latency.p50),
        isAlone ? undefined : ratio(samples, side, p99),
      ]
    }),
  }
}

function floodTable(floods: readonly LoadReport[]): Table {
  const spread = (read: (report: LoadReport) => number): Spread => spreadOf(floods.map(read))
  return {
    title: 'The flooding tenant',
    columns: [
      { title: 'answers', unit: '1/s' },
      { title: 'p50', unit: 'ms' },
      { title: 'p99', unit: 'ms' },
      { title: 'refused or failed', unit: '1/s' },
      { title: 'generator lateness p99', unit: 'ms' },
      { title: 'generator CPU', unit: 'of a core' },
    ],
    rows: [
      [
        spread(({ rps }) => rps),
        spread(({ latency }) => latency.p50),
        spread(p99),
        spread((report) => errorCount(report) / report.seconds),
        spread(({ lateness }) => lateness.p99),
        spread(({ generatorCpu }) => generatorCpu),
      ],
    ],
  }
}

function hostileTable({ hostile }: NeighbourRun): Table {
  const sorted = [...hostile].toSorted(([a], [b]) => a.localeCompare(b))
  const rows = sorted.map(([what, statuses]): Cell[] => [
    what,
    [...statuses.values()].reduce((sum, count) => sum + count, 0),
    [...statuses].map(([status, count]) => `${status} × ${count}`).join(', '),
  ])
  return {
    title: 'The hostile tenant',
    columns: [{ title: 'sent' }, { title: 'times' }, { title: 'answered with' }],
    rows,
  }
}

function serverTable({ usage, metrics }: NeighbourRun): Table {
  const mib = (bytes: number) => bytes / 2 ** 20
  return {
    title: 'The server at the end',
    columns: [
      { title: 'PSS', unit: 'MiB' },
      { title: 'private', unit: 'MiB' },
      { title: 'models resident' },
      { title: 'loads' },
      { title: 'compiles' },
      { title: 'workers lost' },
    ],
    rows: [
      [
        mib(usage.pssBytes),
        mib(usage.privateBytes),
        metrics.sum('modelmux_models_resident'),
        metrics.sum('modelmux_loads_total'),
        metrics.sum('modelmux_compiles_total'),
        metrics.sum('modelmux_worker_restarts_total'),
      ],
    ],
  }
}

function tailChart(samples: LoadSamples): Chart {
  const percentiles = ['p50', 'p95', 'p99'] as const
  return {
    id: 'latency',
    title: 'Latency of the quiet tenants',
    kind: 'bars',
    xTitle: 'percentile',
    yTitle: 'milliseconds',
    series: SIDES.map((side) => ({
      name: side,
      points: percentiles.map((percentile) => {
        const { median, min, max } = samples.spread(side, ({ latency }) => latency[percentile])
        return { x: percentile, y: median, low: min, high: max }
      }),
    })),
  }
}
