/** What B8's measurements amount to: the slope of each process's memory over the last part of the soak. */
import type { Role, ServerProcessUsage } from '../measure/server-processes.ts'
import { slopeOf } from '../measure/statistics.ts'
import type { BenchFindings, Cell, Chart, Table } from '../report/bench-result.ts'

export interface SoakSample {
  /** Cycles before it. */
  readonly cycle: number
  readonly processes: readonly ServerProcessUsage[]
}

export interface SoakRun {
  readonly cycles: number
  /** Cycles whose answer had to wait for a load. */
  readonly loads: number
  readonly evictions: number
  /** Workers that ended: their successors would begin with a clean slate. */
  readonly restarts: number
  readonly seconds: number
  readonly models: number
  readonly samples: readonly SoakSample[]
  readonly problems: readonly string[]
}

/** Memory grows at first whatever one does: the slope counts after this share. */
const SETTLED_AFTER = 0.3
const MAX_BYTES_PER_CYCLE = 3 * 1024
/** Those that serve; compilers have nothing to do in a soak, and one that idles is ended, which is no gain either. */
type Group = 'main' | 'worker' | 'main and worker' | 'compiler'
const GROUPS: readonly Group[] = ['main', 'worker', 'main and worker', 'compiler']
const ROLES: Readonly<Record<Group, readonly Role[]>> = {
  main: ['main'],
  worker: ['worker'],
  'main and worker': ['main', 'worker'],
  compiler: ['compiler', 'other'],
}

export function findings(run: SoakRun): BenchFindings {
  const { cycles, loads, evictions, restarts, models, problems } = run
  return {
    tables: [growthTable(run), runTable(run)],
    gates: [
      {
        name: 'growth of PSS per cycle, main process and worker',
        value: slope(run, 'main and worker', ({ pssBytes }) => pssBytes),
        unit: 'B',
        bound: 'at most',
        limit: MAX_BYTES_PER_CYCLE,
      },
      { name: 'wrong answers', value: problems.length, unit: '', bound: 'at most', limit: 0 },
      { name: 'workers that ended', value: restarts, unit: '', bound: 'at most', limit: 0 },
    ],
    charts: [memoryChart(run)],
    notes: [
      `${cycles} cycles over ${models} models of all classes in random order, one at a time, one worker, no recycling; memory for about three of the largest. ${loads} cycles loaded their model, ${evictions} evictions made room.`,
      'Slopes are least squares over the last 70 % of the cycles; memory is looked at with every model given back.',
      ...problems.slice(0, 3),
    ],
    wrong: problems.length,
    errors: 0,
  }
}

function sumOf({ processes }: SoakSample, group: Group, read: (usage: ServerProcessUsage) => number): number {
  return processes.filter(({ role }) => ROLES[group].includes(role)).reduce((sum, usage) => sum + read(usage), 0)
}

function slope({ samples, cycles }: SoakRun, group: Group, read: (usage: ServerProcessUsage) => number): number {
  const settled = samples.filter(({ cycle }) => cycle >= SETTLED_AFTER * cycles)
  return slopeOf(settled.map((sample) => ({ x: sample.cycle, y: sumOf(sample, group, read) })))
}

function growthTable(run: SoakRun): Table {
  const mib = (bytes: number) => bytes / 2 ** 20
  const settled = run.samples.find(({ cycle }) => cycle >= SETTLED_AFTER * run.cycles)
  const last = run.samples.at(-1)
  const at = (sample: SoakSample | undefined, group: Group, read: (usage: ServerProcessUsage) => number) =>
    sample === undefined ? Number.NaN : sumOf(sample, group, read)
  return {
    title: 'Memory with no model open',
    columns: [
      { title: 'processes' },
      { title: 'PSS', unit: 'B/cycle' },
      { title: 'private', unit: 'B/cycle' },
      { title: 'PSS at 30 %', unit: 'MiB' },
      { title: 'PSS at the end', unit: 'MiB' },
      { title: 'open files at 30 %' },
      { title: 'open files at the end' },
      { title: 'mappings at 30 %' },
      { title: 'mappings at the end' },
    ],
    rows: GROUPS.map((group): Cell[] => [
      group,
      slope(run, group, ({ pssBytes }) => pssBytes),
      slope(run, group, ({ privateBytes }) => privateBytes),
      ...[settled, last].map((sample) => mib(at(sample, group, ({ pssBytes }) => pssBytes))),
      ...[settled, last].map((sample) => at(sample, group, ({ openFiles }) => openFiles)),
      ...[settled, last].map((sample) => at(sample, group, ({ mappings }) => mappings)),
    ]),
  }
}

function runTable({ cycles, loads, evictions, restarts, seconds }: SoakRun): Table {
  return {
    title: 'The soak',
    columns: [
      { title: 'cycles' },
      { title: 'loads' },
      { title: 'evictions' },
      { title: 'workers that ended' },
      { title: 'cycles', unit: '1/s' },
      { title: 'hit ratio' },
    ],
    rows: [[cycles, loads, evictions, restarts, cycles / seconds, 1 - loads / cycles]],
  }
}

function memoryChart({ samples }: SoakRun): Chart {
  return {
    id: 'memory',
    title: 'PSS with no model open',
    kind: 'lines',
    xTitle: 'cycles',
    yTitle: 'MiB',
    series: GROUPS.map((group) => ({
      name: group,
      points: samples.map((sample) => ({
        x: sample.cycle,
        y: sumOf(sample, group, ({ pssBytes }) => pssBytes) / 2 ** 20,
      })),
    })),
  }
}
