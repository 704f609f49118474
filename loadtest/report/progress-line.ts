/**
 * What is being done, on one line that is written over on a terminal. Elsewhere each thing is a line of its own, and a bar that moves is
 * no new thing.
 */

export interface TextSink {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

const DEFAULT_COLUMNS = 80
const BAR_CELLS = 24
const BAR = / \[[#.]*\] \d+ %$/

export class ProgressLine {
  readonly #sink: TextSink
  #last = ''

  constructor(sink: TextSink) {
    this.#sink = sink
  }

  show(text: string): void {
    const said = this.#sink.isTTY === true ? text : text.replace(BAR, '')
    if (said === this.#last) return
    this.#last = said
    if (this.#sink.isTTY === true) {
      this.#sink.write(`\r\u001b[2K${text.slice(0, (this.#sink.columns ?? DEFAULT_COLUMNS) - 1)}`)
    } else {
      this.#sink.write(`${said}\n`)
    }
  }

  /** Takes the line off a terminal, so that what follows starts clean. */
  clear(): void {
    if (this.#sink.isTTY === true && this.#last !== '') this.#sink.write('\r\u001b[2K')
    this.#last = ''
  }
}

/** `[#####.......] 42 %`. */
export function progressBar(done: number, total: number): string {
  const share = total === 0 ? 1 : done / total
  const filled = Math.floor(share * BAR_CELLS)
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR_CELLS - filled)}] ${Math.floor(share * 100)} %`
}
