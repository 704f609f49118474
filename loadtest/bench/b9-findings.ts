/** What B9's measurements amount to: what one more model costs in memory and on disk, shared, alone and plain. */
import { spreadOf } from '../measure/statistics.ts'
import type { Family } from '../models/index.ts'
import type { BenchFindings, Cell, Chart, Gate, Table } from '../report/bench-result.ts'

export interface FamilyRun {
  readonly family: Family
  readonly models: number
  /** Of them, in memory at the end. */
  readonly resident: number
  readonly checked: number
  /** Over a server with nothing open. */
  readonly pssBytes: number
  readonly privateBytes: number
  readonly ledgerBytes: number
  readonly sourceBytes: number
  readonly diskBytes: number
  /** Mean of the first touches, compile and run included. */
  readonly touchMs: number
  /** Page-in and open of a compiled model, one value per model. */
  readonly loadMs: readonly number[]
  readonly problems: readonly string[]
}

export interface PlainRun {
  /** Beyond the first, whose process and libraries are no session's. */
  readonly sessions: number
  readonly pssBytes: number
  readonly createMs: readonly number[]
}

export interface Subject {
  readonly className: string
  readonly shared: FamilyRun
  readonly full: FamilyRun
  readonly plain: PlainRun
}

const MIN_DENSITY = 10
const MAX_DISK_SHARE = 0.15
const mib = (bytes: number): number => bytes / 2 ** 20

export function findings(subjects: readonly Subject[], budgetBytes: number): BenchFindings {
  const problems = subjects.flatMap(({ shared, full }) => [...shared.problems, ...full.problems])
  return {
    tables: [memoryTable(subjects), loadTable(subjects)],
    gates: subjects.flatMap(gatesOf),
    charts: [densityChart(subjects)],
    notes: [
      `Budget ${Math.round(mib(budgetBytes) / 1024)} GiB; one row, binary bodies, one request at a time; page cache warm as far as it fits. PSS is what the server's processes hold beyond an idle server, pages of weights that they map included; looked at after a restart, with all models loaded from their artifacts and answered twice.`,
      ...subjects.map(({ className, shared, full, plain }) => {
        const alone = mib(full.pssBytes / full.models)
        return `${className}: ${shared.models} of family ${shared.family}, all answered, ${shared.checked} held against ONNX Runtime's answer; the same number that shares nothing is counted from ${full.models} (${Math.round(alone)} MiB each, together ${((alone * shared.models) / 1024).toFixed(1)} GiB), plain sessions from ${plain.sessions}.`
      }),
      ...problems.slice(0, 3),
    ],
    wrong: problems.length,
    errors: 0,
  }
}

function pssEach({ pssBytes, models }: FamilyRun): number {
  return pssBytes / models
}

function gatesOf({ className, shared, full, plain }: Subject): Gate[] {
  const name = `${className}/${shared.family}`
  return [
    {
      name: `${name}: models per GB of PSS against plain sessions`,
      value: plain.pssBytes / plain.sessions / pssEach(shared),
      unit: 'x',
      bound: 'at least',
      limit: MIN_DENSITY,
    },
    {
      name: `${name}: models per GB of PSS against models that share nothing`,
      value: pssEach(full) / pssEach(shared),
      unit: 'x',
      bound: 'at least',
      limit: MIN_DENSITY,
    },
    {
      name: `${name}: disk against models that share nothing`,
      value: shared.diskBytes / shared.models / (full.diskBytes / full.models),
      unit: 'x',
      bound: 'at most',
      limit: MAX_DISK_SHARE,
    },
    {
      name: `${name}: models that were not resident`,
      value: shared.models - shared.resident,
      unit: '',
      bound: 'at most',
      limit: 0,
    },
  ]
}

function memoryTable(subjects: readonly Subject[]): Table {
  const familyRow = (className: string, run: FamilyRun): Cell[] => [
    `${className}/${run.family}`,
    run.models,
    run.resident,
    mib(pssEach(run)),
    1024 / mib(pssEach(run)),
    mib(run.privateBytes / run.models),
    mib(run.ledgerBytes / run.models),
    mib(run.sourceBytes / run.models),
    mib(run.diskBytes / run.models),
  ]
  return {
    title: 'What a model costs',
    columns: [
      { title: 'models' },
      { title: 'opened' },
      { title: 'resident' },
      { title: 'PSS each', unit: 'MiB' },
      { title: 'per GiB of PSS' },
      { title: 'private each', unit: 'MiB' },
      { title: 'ledger each', unit: 'MiB' },
      { title: 'source each', unit: 'MiB' },
      { title: 'artifact each', unit: 'MiB' },
    ],
    rows: subjects.flatMap(({ className, shared, full, plain }): Cell[][] => {
      const each = mib(plain.pssBytes / plain.sessions)
      const plainRow: Cell[] = [`${className}, plain sessions`, plain.sessions, plain.sessions, each, 1024 / each]
      return [familyRow(className, shared), familyRow(className, full), plainRow]
    }),
  }
}

function loadTable(subjects: readonly Subject[]): Table {
  return {
    title: 'What a load takes',
    columns: [
      { title: 'models' },
      { title: 'first touch, mean', unit: 'ms' },
      { title: 'page-in and open, or plain create', unit: 'ms' },
    ],
    rows: subjects.flatMap(({ className, shared, full, plain }): Cell[][] => [
      ...[shared, full].map((run): Cell[] => [`${className}/${run.family}`, run.touchMs, spreadOf(run.loadMs)]),
      [`${className}, plain sessions`, undefined, spreadOf(plain.createMs)],
    ]),
  }
}

function densityChart(subjects: readonly Subject[]): Chart {
  const series = [
    { name: 'shared base', read: ({ shared }: Subject) => 1024 / mib(pssEach(shared)) },
    { name: 'nothing shared', read: ({ full }: Subject) => 1024 / mib(pssEach(full)) },
    { name: 'plain sessions', read: ({ plain }: Subject) => 1024 / mib(plain.pssBytes / plain.sessions) },
  ]
  return {
    id: 'density',
    title: 'Models per GiB of memory',
    kind: 'bars',
    xTitle: 'class of model',
    yTitle: 'models per GiB of PSS',
    series: series.map(({ name, read }) => ({
      name,
      points: subjects.map((subject) => ({ x: `${subject.className}/${subject.shared.family}`, y: read(subject) })),
    })),
  }
}
