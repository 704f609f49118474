/** What is being done, on one line that is written over on a terminal and on lines of their own elsewhere. */

export interface TextSink {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

const DEFAULT_COLUMNS = 80
const BAR_CELLS = 24

export class ProgressLine {
  readonly #sink: TextSink
  #last = ''

  constructor(sink: TextSink) {
    this.#sink = sink
  }

  show(text: string): void {
    if (text === this.#last) return
    this.#last = text
    if (this.#sink.isTTY === true) {
      this.#sink.write(`\r\u001b[2K${text.slice(0, (this.#sink.columns ?? DEFAULT_COLUMNS) - 1)}`)
    } else {
      this.#sink.write(`${text}\n`)
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
