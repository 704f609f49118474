/**
 * A terminal taken over for a while: another screen, no cursor, keys as they are pressed. Whoever opens it closes it, also after a
 * failure, and finds everything as it was.
 */
import type { ReadStream, WriteStream } from 'node:tty'

export interface TerminalOptions {
  readonly input: ReadStream
  readonly output: WriteStream
  readonly onKey: (key: string) => void
  readonly onResize: () => void
}

const ESCAPE = '\u001b['
const ENTER = `${ESCAPE}?1049h${ESCAPE}?25l`
const LEAVE = `${ESCAPE}?25h${ESCAPE}?1049l`
/** Terminals that know it show a frame at once; the others pass over it. */
const BEGIN_FRAME = `${ESCAPE}?2026h${ESCAPE}H`
const END_FRAME = `${ESCAPE}J${ESCAPE}?2026l`
const DEFAULT_COLUMNS = 80
const DEFAULT_ROWS = 24

export class Terminal {
  readonly #options: TerminalOptions
  readonly #onData = (data: Buffer): void => {
    for (const key of data.toString('utf8')) this.#options.onKey(key)
  }
  /** The terminal takes no more for now: frames are left out rather than piled up. */
  #isBehind = false

  constructor(options: TerminalOptions) {
    this.#options = options
  }

  open(): void {
    const { input, output, onResize } = this.#options
    output.write(ENTER)
    output.on('resize', onResize)
    output.on('drain', this.#onDrain)
    if (!input.isTTY) return
    input.setRawMode(true)
    input.on('data', this.#onData)
    input.resume()
  }

  get size(): { readonly width: number; readonly height: number } {
    const { columns, rows } = this.#options.output
    // A terminal that does not know its size says 0.
    return { width: columns || DEFAULT_COLUMNS, height: rows || DEFAULT_ROWS }
  }

  /** Replaces everything on the screen; the lines must fit. */
  show(lines: readonly string[]): void {
    if (this.#isBehind) return
    const text = lines.map((line) => `${line}${ESCAPE}K`).join('\r\n')
    this.#isBehind = !this.#options.output.write(`${BEGIN_FRAME}${text}${END_FRAME}`)
  }

  close(): void {
    const { input, output, onResize } = this.#options
    output.off('resize', onResize)
    output.off('drain', this.#onDrain)
    if (input.isTTY) {
      input.off('data', this.#onData)
      input.setRawMode(false)
      input.pause()
    }
    output.write(LEAVE)
  }

  readonly #onDrain = (): void => {
    this.#isBehind = false
  }
}
