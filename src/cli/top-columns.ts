/** The tables of `modelmux top`: what stands in which column, and which column goes first where the terminal is narrow. */
import { formatByteSize } from '../lib/byte-size.ts'
import type { ModelOverview, WorkerOverview } from '../telemetry/overview.ts'
import type { Column } from './columns.ts'
import type { Glyphs } from './figures.ts'
import { bar, percent, shareOut, shortMs, shortNumber, sparkline } from './figures.ts'
import type { Colour } from './text.ts'

export interface ModelRow {
  readonly model: ModelOverview
  /** The highest rate on the screen: a full bar. */
  readonly highest: number
  /** Its latest rates. */
  readonly history: readonly number[]
  readonly glyphs: Glyphs
}

const STATE_COLOURS: Readonly<Record<string, Colour>> = { ready: 'green', failed: 'red', cold: 'dim' }

/** Of no use before there is a history. */
export const HISTORY_COLUMN: Column<ModelRow> = {
  title: '',
  width: 8,
  drop: 6,
  text: ({ history, glyphs }) => sparkline(history, glyphs),
  colour: () => 'cyan',
}

export const MODEL_COLUMNS: readonly Column<ModelRow>[] = [
  {
    title: 'req/s',
    width: 6,
    align: 'right',
    text: ({ model }) => shortNumber(model.requestsPerSecond),
  },
  {
    title: '',
    width: 8,
    drop: 3,
    text: ({ model, highest, glyphs }, width) =>
      bar(highest === 0 ? 0 : model.requestsPerSecond / highest, width, glyphs),
    colour: () => 'green',
  },
  HISTORY_COLUMN,
  {
    title: 'model',
    width: 21,
    stretches: true,
    text: ({ model }) => `${model.isPinned ? '*' : ''}${model.name}:${model.version}`,
  },
  {
    title: 'state',
    width: 9,
    text: ({ model }) => model.state,
    colour: ({ model }) => STATE_COLOURS[model.state] ?? 'yellow',
  },
  { title: 'p50 ms', width: 6, align: 'right', drop: 4, text: ({ model }) => shortMs(model.p50Ms) },
  { title: 'p99 ms', width: 6, align: 'right', drop: 1, text: ({ model }) => shortMs(model.p99Ms) },
  {
    title: 'hit load comp wait',
    width: 18,
    drop: 5,
    text: ({ model: { outcomes }, glyphs }, width) => outcomeBar(outcomes, width, glyphs),
  },
  {
    title: 'errors',
    width: 6,
    align: 'right',
    drop: 2,
    text: ({ model }) => shortNumber(model.errors),
    colour: ({ model }) => (model.errors > 0 ? 'red' : undefined),
  },
  { title: 'private', width: 8, align: 'right', drop: 7, text: ({ model }) => formatByteSize(model.privateBytes) },
  { title: 'tensors', width: 8, align: 'right', drop: 8, text: ({ model }) => formatByteSize(model.blobBytes) },
  { title: 'open', width: 4, align: 'right', drop: 9, text: ({ model }) => String(model.workers.length) },
  { title: 'queue', width: 5, align: 'right', drop: 10, text: ({ model }) => shortNumber(model.queued) },
]

export function workerColumns(glyphs: Glyphs): readonly Column<WorkerOverview>[] {
  return [
    { title: 'worker', width: 10, text: ({ id }) => id },
    {
      title: '',
      width: 4,
      text: ({ isUp }) => (isUp ? 'up' : 'down'),
      colour: ({ isUp }) => (isUp ? 'green' : 'red'),
    },
    {
      title: 'busy',
      width: 16,
      drop: 2,
      text: ({ busyCores }, width) => bar(busyCores ?? 0, width, glyphs),
      colour: () => 'green',
    },
    { title: 'cores', width: 5, align: 'right', text: ({ busyCores }) => percent(busyCores) },
    { title: 'private', width: 8, align: 'right', text: ({ privateBytes }) => formatByteSize(privateBytes) },
    { title: 'sessions', width: 8, align: 'right', drop: 1, text: ({ sessions }) => String(sessions) },
    { title: 'mappings', width: 8, align: 'right', drop: 5, text: ({ mappings }) => shortNumber(mappings) },
    {
      title: 'faults/s',
      width: 8,
      align: 'right',
      drop: 4,
      text: ({ majorFaultsPerSecond }) => shortNumber(majorFaultsPerSecond),
      colour: ({ majorFaultsPerSecond }) => (majorFaultsPerSecond >= 1 ? 'red' : undefined),
    },
    {
      title: 'restarts',
      width: 8,
      align: 'right',
      drop: 3,
      text: ({ restarts }) => String(restarts),
      colour: ({ restarts }) => (restarts > 0 ? 'yellow' : undefined),
    },
    { title: 'pid', width: 8, align: 'right', drop: 6, text: ({ pid }) => (pid === 0 ? '-' : String(pid)) },
  ]
}

/** Share of each outcome since the start, worst last, and the hits as a figure where it fits. */
function outcomeBar({ hit, load, compile, wait }: ModelOverview['outcomes'], width: number, glyphs: Glyphs): string {
  const parts = [hit, load, compile, wait]
  const whole = parts.reduce((sum, part) => sum + part, 0)
  if (whole === 0) return ''
  const figure = percent(hit / whole)
  const widths = shareOut(parts, whole, width - figure.length - 1)
  return `${widths.map((columns, i) => (glyphs.parts[i] ?? '').repeat(columns)).join('')} ${figure}`
}
