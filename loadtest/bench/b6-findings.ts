/** What B6's measurements amount to: medians by class and state, ratios to plain ONNX Runtime, gates and plots. */
import { PHASES } from '../../src/domain/phases.ts'
import { median, type Spread, spreadOf } from '../measure/statistics.ts'
import type { ClassName } from '../models/index.ts'
import type { BenchFindings, Cell, Chart, Gate, Table } from '../report/bench-result.ts'
import type { PlainReport } from './engine-process.ts'
import type { ProbedAnswer } from './http-probe.ts'

export const STATES = ['first touch, source dropped', 'first touch', 'pages dropped', 'cached'] as const
export type State = (typeof STATES)[number]
export const PLAIN_KINDS = ['fresh, source dropped', 'fresh', 'warm'] as const
export type PlainKind = (typeof PLAIN_KINDS)[number]

export interface OurStart extends ProbedAnswer {
  readonly state: State
}

export interface PlainStart extends PlainReport {
  readonly kind: PlainKind
}

export interface ClassStarts {
  readonly className: ClassName
  readonly tolerance: number
  readonly ours: OurStart[]
  readonly plain: PlainStart[]
  readonly problems: string[]
}

export function findings(all: readonly ClassStarts[]): BenchFindings {
  return {
    tables: [startTable(all), plainTable(all), phaseTable(all)],
    gates: gatesOf(all),
    charts: [answerChart(all), phaseChart(all, 'cached'), phaseChart(all, 'first touch')],
    notes: [
      'Family full, one row, binary bodies, one request at a time; every repetition is another customer’s model.',
      'Time to first answer: ours from sending the request to its answer over HTTP; plain is create with default options plus the first run, called directly.',
      'First touch and plain: the source is in the page cache unless it says dropped. Pages dropped: no page of the artifact is in memory (checked).',
      ...all.flatMap(({ problems }) => problems.slice(0, 3)),
    ],
    wrong: all.reduce((sum, { problems }) => sum + problems.length, 0),
    errors: 0,
  }
}

function answerMs(starts: ClassStarts, state: State): Spread {
  return spreadOf(starts.ours.filter((start) => start.state === state).map(({ ms }) => ms))
}

/** Median of one phase over the starts in a state; a phase that a start did not go through took 0. */
function phaseMs(starts: ClassStarts, state: State, phase: string): number {
  return median(starts.ours.filter((start) => start.state === state).map(({ phases }) => phases[phase] ?? 0))
}

function plainMs(starts: ClassStarts, kind: PlainKind, read: (start: PlainStart) => number): Spread {
  return spreadOf(starts.plain.filter((start) => start.kind === kind).map(read))
}

const firstAnswer = ({ createMs, firstRunMs }: PlainStart): number => createMs + firstRunMs
const createAlone = ({ createMs }: PlainStart): number => createMs

function gatesOf(all: readonly ClassStarts[]): Gate[] {
  const gates = all.map((starts): Gate => {
    const ratio = answerMs(starts, 'first touch').median / plainMs(starts, 'fresh', firstAnswer).median
    return ratioGate(`${starts.className}: first touch ever against fresh plain`, ratio, 'at most', 3)
  })
  for (const starts of all) {
    const { className } = starts
    const cached = plainMs(starts, 'warm', firstAnswer).median / answerMs(starts, 'cached').median
    const open = phaseMs(starts, 'cached', 'open')
    const openGain = (kind: PlainKind): number => plainMs(starts, kind, createAlone).median / open
    const wanted = { R: 2, M: 2.5, T: 1 }[className as string]
    if (wanted !== undefined) {
      gates.push(
        ratioGate(`${className}: warm plain against first answer from cached artifact`, cached, 'at least', wanted),
      )
    }
    if (className === 'R') {
      gates.push(ratioGate('R: warm plain create against open alone', openGain('warm'), 'at least', 20))
      gates.push(ratioGate('R: fresh plain create against open alone', openGain('fresh'), 'at least', 50))
    }
    if (className === 'M') {
      gates.push(ratioGate('M: warm plain create against open alone', openGain('warm'), 'at least', 5))
    }
  }
  return gates
}

function ratioGate(name: string, value: number, bound: Gate['bound'], limit: number): Gate {
  return { name, value, unit: 'x', bound, limit }
}

function startTable(all: readonly ClassStarts[]): Table {
  return {
    title: 'Time to first answer',
    columns: [
      { title: 'class' },
      { title: 'state' },
      { title: 'n' },
      { title: 'first answer', unit: 'ms' },
      { title: 'warm plain / ours', unit: 'x' },
      { title: 'fresh plain / ours', unit: 'x' },
    ],
    rows: all.flatMap((starts) =>
      STATES.map((state): Cell[] => {
        const ours = answerMs(starts, state)
        const isFar = state.includes('dropped')
        const fresh = plainMs(starts, isFar ? 'fresh, source dropped' : 'fresh', firstAnswer)
        const warm = isFar ? Number.NaN : plainMs(starts, 'warm', firstAnswer).median
        return [starts.className, state, ours.count, ours, warm / ours.median, fresh.median / ours.median]
      }),
    ),
  }
}

function plainTable(all: readonly ClassStarts[]): Table {
  return {
    title: 'Plain ONNX Runtime, default options, the same files',
    columns: [
      { title: 'class' },
      { title: 'process' },
      { title: 'create', unit: 'ms' },
      { title: 'first run', unit: 'ms' },
      { title: 'first answer', unit: 'ms' },
    ],
    rows: all.flatMap((starts) =>
      PLAIN_KINDS.map((kind): Cell[] => [
        starts.className,
        kind,
        plainMs(starts, kind, createAlone),
        plainMs(starts, kind, ({ firstRunMs }) => firstRunMs),
        plainMs(starts, kind, firstAnswer),
      ]),
    ),
  }
}

function phaseTable(all: readonly ClassStarts[]): Table {
  return {
    title: 'Our phases, medians in ms',
    columns: [{ title: 'class' }, { title: 'state' }, ...PHASES.map((title) => ({ title }))],
    rows: all.flatMap((starts) =>
      STATES.map((state): Cell[] => [starts.className, state, ...PHASES.map((phase) => phaseMs(starts, state, phase))]),
    ),
  }
}

function answerChart(all: readonly ClassStarts[]): Chart {
  const point = (className: string, { median: y, min, max }: Spread) => ({ x: className, y, low: min, high: max })
  return {
    id: 'first-answer',
    title: 'Time to first answer, by class and state',
    kind: 'bars',
    xTitle: 'class of model',
    yTitle: 'ms, logarithmic',
    yScale: 'log',
    series: [
      ...PLAIN_KINDS.slice(1).map((kind) => ({
        name: `plain, ${kind}`,
        points: all.map((starts) => point(starts.className, plainMs(starts, kind, firstAnswer))),
      })),
      ...STATES.map((state) => ({
        name: state,
        points: all.map((starts) => point(starts.className, answerMs(starts, state))),
      })),
    ],
  }
}

function phaseChart(all: readonly ClassStarts[], state: State): Chart {
  return {
    id: `phases-${state.replaceAll(' ', '-')}`,
    title: `Where the time goes: ${state}`,
    kind: 'stacked',
    xTitle: 'class of model',
    yTitle: 'ms',
    series: PHASES.map((phase) => ({
      name: phase,
      points: all.map((starts) => ({ x: starts.className, y: phaseMs(starts, state, phase) })),
    })),
  }
}
