/**
 * `modelmux top` as lines of text: a pure function of what the server told, the size of the terminal and what it can show. No line
 * is wider than the terminal, and there are no more lines than it has rows; where it is small, models give way first, then workers
 * and events, then the least important columns.
 */
import { formatByteSize } from '../lib/byte-size.ts'
import type { JournalRecord } from '../telemetry/journal-record.ts'
import type { Overview } from '../telemetry/overview.ts'
import { tableLines } from './columns.ts'
import type { Glyphs } from './figures.ts'
import { percent, shareOut, shortDuration, shortMs, shortNumber, sparkline } from './figures.ts'
import type { Colour } from './text.ts'
import { coloured, cut, visible, withoutColours } from './text.ts'
import { HISTORY_COLUMN, MODEL_COLUMNS, workerColumns } from './top-columns.ts'
import type { History } from './top-history.ts'

export interface Screen {
  readonly width: number
  /** Rows; Infinity = all there is. */
  readonly height: number
  readonly hasColours: boolean
  readonly glyphs: Glyphs
}

export interface TopView {
  /** The latest; undefined while none has come. */
  readonly overview: Overview | undefined
  readonly history: History
  readonly url: string
  /** Why nothing comes now; undefined while it does. */
  readonly problem: string | undefined
}

/** Rows that a section has when there is little room. */
const FEW = 4
const MAX_EVENTS = 12
const LEDGER_COLUMNS = 40
const PART_COLOURS: readonly Colour[] = ['green', 'cyan', 'blue', 'yellow', 'red']

export function topLines(view: TopView, screen: Screen): string[] {
  const paint = painter(screen)
  const { overview, url, problem } = view
  if (overview === undefined) {
    return inFrame([paint('modelmux top', 'bold'), `${url}: ${problem ?? 'waiting for the first answer'}`], screen)
  }
  const head = [...headLines(view, overview, screen), '']
  const memory = [...memoryLines(overview, screen), '']
  const room = screen.height - head.length - memory.length
  const { models, workers, events } = shareRows(room, overview)
  return inFrame(
    [
      ...head,
      ...modelLines(view, overview, screen, models),
      '',
      ...workerLines(overview, screen, workers),
      '',
      ...memory,
      ...eventLines(overview.events, screen, events),
    ],
    screen,
  )
}

function headLines({ history, url, problem }: TopView, overview: Overview, screen: Screen): string[] {
  const { server, traffic } = overview
  const paint = painter(screen)
  const dot = ` ${screen.glyphs.dot} `
  const facts = [`modelmux ${server.version}`, server.replica, `up ${shortDuration(server.uptimeSeconds)}`, url]
  const line = sparkline(history.total, screen.glyphs)
  const rate = `${paint(shortNumber(traffic.requestsPerSecond), 'bold')} req/s${line === '' ? '' : ` ${paint(line, 'green')}`}`
  return [
    `${paint(facts.join(dot), 'bold')}${server.isDraining ? `${dot}${paint('draining', 'yellow')}` : ''}`,
    // The rates of a server that is gone are of no use to anybody.
    problem !== undefined
      ? paint(visible(problem), 'red')
      : [
          rate,
          `p50 ${shortMs(traffic.p50Ms)} ms`,
          `p99 ${shortMs(traffic.p99Ms)} ms`,
          `hits ${percent(traffic.recentHitRatio)}`,
          `${shortNumber(traffic.requests)} answered, ${traffic.errors} failed`,
          `${server.requestsInFlight} in flight`,
        ].join('   '),
  ]
}

function modelLines({ history }: TopView, { models }: Overview, screen: Screen, rows: number): string[] {
  const paint = painter(screen)
  const hottest = models.hottest.slice(0, rows)
  const pinned = hottest.some(({ isPinned }) => isPinned) ? ', * pinned' : ''
  const title = `${paint('MODELS', 'bold')} ${models.registered} known, ${models.resident} in memory${pinned}`
  const highest = Math.max(0, ...hottest.map(({ requestsPerSecond }) => requestsPerSecond))
  const facts = hottest.map((model) => ({ model, highest, history: history.ofModel(model), glyphs: screen.glyphs }))
  const isTold = facts.some(({ history: points }) => points.length > 1)
  const columns = isTold ? MODEL_COLUMNS : MODEL_COLUMNS.filter((column) => column !== HISTORY_COLUMN)
  return [title, ...tableLines(columns, facts, { ...screen, ellipsis: screen.glyphs.ellipsis })]
}

function workerLines({ workers }: Overview, screen: Screen, rows: number): string[] {
  const paint = painter(screen)
  const up = workers.filter(({ isUp }) => isUp).length
  const hidden = workers.length - rows
  const title = `${paint('WORKERS', 'bold')} ${up} of ${workers.length} up${hidden > 0 ? `, the busiest ${rows}` : ''}`
  const busiest = hidden > 0 ? workers.toSorted((a, b) => (b.busyCores ?? 0) - (a.busyCores ?? 0)) : workers
  const columns = workerColumns(screen.glyphs)
  return [title, ...tableLines(columns, busiest.slice(0, rows), { ...screen, ellipsis: screen.glyphs.ellipsis })]
}

function memoryLines({ ledger, queue, compilers }: Overview, screen: Screen): string[] {
  const paint = painter(screen)
  const { glyphs } = screen
  const kinds = Object.entries(ledger.bytesByKind)
  const columns = Math.min(LEDGER_COLUMNS, Math.max(8, screen.width - 50))
  const widths = shareOut(
    kinds.map(([, bytes]) => bytes),
    ledger.budgetBytes,
    columns,
  )
  const parts = widths.map((width, i) => paint((glyphs.parts[i] ?? '').repeat(width), PART_COLOURS[i] ?? 'dim'))
  const rest = glyphs.rest.repeat(columns - widths.reduce((sum, width) => sum + width, 0))
  const legend = kinds
    .filter(([, bytes]) => bytes > 0)
    .map(([kind, bytes]) => {
      const at = kinds.findIndex(([name]) => name === kind)
      return `${paint(glyphs.parts[at] ?? '', PART_COLOURS[at] ?? 'dim')} ${kind} ${formatByteSize(bytes)}`
    })
  const share = percent(ledger.budgetBytes === 0 ? null : ledger.usedBytes / ledger.budgetBytes)
  const lanes = compilers.map(({ lane, running, waiting }) => `${lane} ${running}${waiting > 0 ? `+${waiting}` : ''}`)
  return [
    `${paint('MEMORY', 'bold')} ${formatByteSize(ledger.usedBytes)} of ${formatByteSize(ledger.budgetBytes)} (${share}) ${parts.join('')}${paint(rest, 'dim')}`,
    `       ${legend.join('  ')}`,
    `${paint('QUEUE', 'bold')}  ${queue.requests} requests, ${formatByteSize(queue.bytes)}   loads ${queue.loads}   compilers ${lanes.join(', ')}`,
  ]
}

function eventLines(events: readonly JournalRecord[], screen: Screen, rows: number): string[] {
  const paint = painter(screen)
  const latest = events.slice(Math.max(0, events.length - rows))
  return [
    paint('EVENTS', 'bold'),
    ...latest.map(({ at, level, event, fields }) => {
      const facts = Object.entries(fields).map(([name, value]) => `${name}=${factText(value)}`)
      const line = visible(`${at.slice(11, 19)} ${event} ${facts.join(' ')}`)
      const colour = level === 'info' ? undefined : level === 'warn' ? 'yellow' : 'red'
      const short = cut(line, screen.width, screen.glyphs.ellipsis)
      return colour === undefined ? short : paint(short, colour)
    }),
  ]
}

/** A key without its digest, a duration without its tail. */
function factText(value: unknown): string {
  if (typeof value === 'string') return value.replace(/#[0-9a-f]{8,}$/, '')
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : value.toFixed(1)
  return JSON.stringify(value) ?? ''
}

/** How many rows each table has, of `room` lines that hold the three with their titles. */
function shareRows(
  room: number,
  { models, workers, events }: Overview,
): Record<'models' | 'workers' | 'events', number> {
  // Titles, heads of tables and blank lines between them.
  let left = room - 7
  const take = (wanted: number) => {
    const given = Math.max(0, Math.min(wanted, left))
    left -= given
    return given
  }
  const few = {
    models: take(Math.min(FEW, models.hottest.length)),
    workers: take(Math.min(FEW, workers.length)),
    events: take(Math.min(FEW, events.length)),
  }
  const moreModels = take(Math.min(models.hottest.length - few.models, Math.floor(left / 2)))
  const moreWorkers = take(workers.length - few.workers)
  const moreEvents = take(Math.min(MAX_EVENTS, events.length) - few.events)
  return {
    models: few.models + moreModels + take(models.hottest.length - few.models - moreModels),
    workers: few.workers + moreWorkers,
    events: few.events + moreEvents,
  }
}

type Paint = (text: string, colour: Colour) => string

function painter({ hasColours }: Screen): Paint {
  return hasColours ? coloured : (text) => text
}

/** The last word on the promise: a line that is too wide, or would steer the terminal, loses its colours, and its end or what steers. */
function inFrame(lines: readonly string[], { width, height, glyphs }: Screen): string[] {
  return lines.slice(0, height).map((line) => {
    const plain = withoutColours(line)
    const short = cut(visible(plain), width, glyphs.ellipsis)
    return short === plain ? line : short
  })
}
