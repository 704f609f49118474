/** One line of a terminal that shows how far something is, drawn over itself. */
import type { WriteStream } from 'node:tty'
import type { TerminalFacts } from '../config/terminal.ts'
import { formatByteSize } from '../lib/byte-size.ts'
import type { Clock } from '../lib/clock.ts'
import { ASCII, bar, percent, shortDuration, UNICODE } from './figures.ts'
import { cut } from './text.ts'

const BAR_COLUMNS = 24
const DRAW_EVERY_MS = 100
const PLAIN_WIDTH = 80
const CLEAR_LINE = '\r\u001b[K'

export class ProgressLine {
  readonly #output: WriteStream
  readonly #facts: TerminalFacts
  readonly #clock: Clock
  #drawnAt: number | undefined
  #step: string | undefined
  #beganAt = 0

  /** Draws nothing where `output` is no terminal that can clear a line. */
  constructor(output: WriteStream, facts: TerminalFacts, clock: Clock) {
    this.#output = output
    this.#facts = facts
    this.#clock = clock
  }

  show(step: string, bytesDone: number, bytes: number): void {
    if (!this.#output.isTTY || this.#facts.isDumb) return
    const now = this.#clock.now()
    if (step !== this.#step) this.#beganAt = now
    else if (bytesDone < bytes && this.#drawnAt !== undefined && now - this.#drawnAt < DRAW_EVERY_MS) return
    this.#step = step
    this.#drawnAt = now
    const share = bytes === 0 ? 1 : bytesDone / bytes
    const seconds = (now - this.#beganAt) / 1000
    const pace = seconds > 0.5 ? bytesDone / seconds : 0
    const rate =
      pace === 0 ? '' : `  ${formatByteSize(Math.round(pace))}/s  ${shortDuration((bytes - bytesDone) / pace)} left`
    const glyphs = this.#facts.isUnicode ? UNICODE : ASCII
    const drawn = bar(share, BAR_COLUMNS, glyphs).padEnd(BAR_COLUMNS, glyphs.rest)
    const line = `${step.padEnd(8)} ${drawn} ${percent(share).padStart(5)}  ${formatByteSize(bytesDone)} of ${formatByteSize(bytes)}${rate}`
    this.#output.write(`${CLEAR_LINE}${cut(line, (this.#output.columns || PLAIN_WIDTH) - 1, glyphs.ellipsis)}`)
  }

  /** Leaves the line empty for what comes next. */
  clear(): void {
    if (this.#drawnAt !== undefined) this.#output.write(CLEAR_LINE)
    this.#drawnAt = undefined
  }
}
