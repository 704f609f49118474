/**
 * Standard error of a child process, line by line, as log events. ONNX Runtime writes coloured lines there, such as
 * `2026-11-03 12:00:00.123456789 [W:onnxruntime:, graph.cc:4285 CleanUnusedInitializers] Removing initializer 'x'.`
 * A child that floods is cut off at a rate, and the number of lines lost is told once it is quiet enough.
 */
import type { Clock } from '../lib/clock.ts'
import { TokenBucket } from '../lib/token-bucket.ts'
import type { LogLevel } from './events.ts'
import type { EventFields, EventLog } from './log.ts'

/** An ONNX Runtime line understood, or any other one as it is. */
export interface ChildLine {
  readonly level: LogLevel
  readonly fields: EventFields
}

export interface ChildLinesOptions {
  /** Lines a second that one child may log over time, and at once. */
  readonly linesPerSecond: number
  readonly burst: number
}

export const CHILD_LINES_DEFAULTS: ChildLinesOptions = { linesPerSecond: 10, burst: 50 }

const LEVELS: Readonly<Record<string, LogLevel>> = { V: 'debug', I: 'debug', W: 'info', E: 'warn', F: 'error' }
/** Longest text of a line that is kept; a broken model can make ONNX Runtime print its whole graph. */
const MAX_TEXT = 2000
const ESCAPE = String.fromCharCode(27)
const COLOURS = new RegExp(`${ESCAPE}\\[[0-9;]*m`, 'g')
const ORT_LINE = /^\S+ \S+ \[([VIWEF]):([^:,\]]*):([^,\]]*), ([^\s:\]]+):([0-9]+) ([^\]]*)\] (.*)$/s

export class ChildLines {
  readonly #log: EventLog
  readonly #clock: Clock
  readonly #options: ChildLinesOptions
  readonly #children = new Map<string, { readonly bucket: TokenBucket; dropped: number }>()

  constructor(log: EventLog, clock: Clock, options: ChildLinesOptions = CHILD_LINES_DEFAULTS) {
    this.#log = log
    this.#clock = clock
    this.#options = options
  }

  /** `child` names the process, such as `worker-0`. */
  line(child: string, text: string): void {
    if (text.trim() === '') return
    const state = this.#stateOf(child)
    if (!state.bucket.take(this.#clock.now())) {
      state.dropped++
      return
    }
    this.#reportDropped(child, state)
    const { level, fields } = parseChildLine(text)
    this.#log.event('child.line', { child, ...fields }, level)
  }

  /** The child ended: its losses are told, its budget is forgotten. */
  end(child: string): void {
    const state = this.#children.get(child)
    if (state !== undefined) this.#reportDropped(child, state)
    this.#children.delete(child)
  }

  #reportDropped(child: string, state: { dropped: number }): void {
    if (state.dropped === 0) return
    this.#log.event('child.lines-dropped', { child, lines: state.dropped })
    state.dropped = 0
  }

  #stateOf(child: string): { readonly bucket: TokenBucket; dropped: number } {
    const known = this.#children.get(child)
    if (known !== undefined) return known
    const { linesPerSecond, burst } = this.#options
    const state = { bucket: new TokenBucket({ perSecond: linesPerSecond, burst }, this.#clock.now()), dropped: 0 }
    this.#children.set(child, state)
    return state
  }
}

export function parseChildLine(line: string): ChildLine {
  const text = line.slice(0, MAX_TEXT).replace(COLOURS, '').trimEnd()
  const match = ORT_LINE.exec(text)
  if (match === null) return { level: 'warn', fields: { text } }
  const [, severity = '', , logger = '', file = '', at = '', where = '', message = ''] = match
  const code = { file, line: Number(at), function: where }
  return {
    level: LEVELS[severity] ?? 'warn',
    fields: { source: 'onnxruntime', ...(logger !== '' && { logger }), code, text: message },
  }
}
