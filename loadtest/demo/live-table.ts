/**
 * Traffic as it goes, one row a second: written over in place on a terminal, line after line elsewhere. Counters of the server are shown
 * as what they grew by since the row before.
 */
import { formatByteSize } from '../../src/lib/byte-size.ts'
import { errorCount, type LoadReport } from '../generator/plan.ts'
import type { MetricsSnapshot } from '../measure/metrics.ts'
import { formatNumber } from '../report/format.ts'
import type { TextSink } from '../report/progress-line.ts'

const COLUMNS = ['seconds', 'answers/s', 'p50 ms', 'p99 ms', 'hit ratio', 'loads/s', 'resident', 'memory', 'errors']
const WIDTH = 10

export class LiveTable {
  readonly #sink: TextSink
  #before: MetricsSnapshot | undefined
  #elapsed = 0
  #rows = 0
  #errors = 0

  constructor(sink: TextSink) {
    this.#sink = sink
  }

  /** `report` covers the time since the row before, `metrics` is the server's state at its end. */
  add(report: LoadReport, metrics: MetricsSnapshot): void {
    this.#elapsed += report.seconds
    this.#errors += errorCount(report) + report.wrong
    const before = this.#before
    this.#before = metrics
    const grown = (name: string, labels?: Readonly<Record<string, string>>) =>
      before === undefined ? Number.NaN : metrics.sum(name, labels) - before.sum(name, labels)
    const outcomes = 'modelmux_cache_outcomes_total'
    this.#write([
      formatNumber(Math.round(this.#elapsed)),
      formatNumber(report.rps),
      formatNumber(report.latency.p50),
      formatNumber(report.latency.p99),
      formatNumber(grown(outcomes, { outcome: 'hit' }) / grown(outcomes)),
      formatNumber(grown('modelmux_loads_total') / report.seconds),
      formatNumber(metrics.sum('modelmux_models_resident')),
      formatByteSize(metrics.sum('modelmux_ledger_bytes')),
      formatNumber(this.#errors),
    ])
  }

  /** Leaves the cursor on a line of its own. */
  end(): void {
    if (this.#rows > 0 && this.#sink.isTTY === true) this.#sink.write('\n')
  }

  #write(cells: readonly string[]): void {
    const row = aligned(cells)
    if (this.#rows === 0) this.#sink.write(`${aligned(COLUMNS)}\n`)
    this.#rows += 1
    this.#sink.write(this.#sink.isTTY === true ? `\r\u001b[2K${row}` : `${row}\n`)
  }
}

function aligned(cells: readonly string[]): string {
  return cells.map((cell) => cell.padStart(WIDTH)).join(' ')
}
