/**
 * `npm run faults`: brings one fault after the other about on a real server and prints what was expected, what was measured and whether
 * it held. Ends with 1 when a row failed, with 0 otherwise; a row that this machine cannot run is named as such.
 */
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { systemClock } from '../src/lib/clock.ts'
import type { FaultRow } from './faults/fault.ts'
import { FAULT_ROWS } from './faults/index.ts'
import { renderFaults, writeFaults } from './faults/report.ts'
import { runFaults } from './faults/runner.ts'
import { describeMachine } from './measure/machine.ts'
import { ProgressLine } from './report/progress-line.ts'

const RESULTS = fileURLToPath(new URL('./results', import.meta.url))

interface Options {
  readonly rows: readonly FaultRow[]
  readonly isQuick: boolean
  readonly isJson: boolean
  readonly isList: boolean
  readonly out: string
  readonly command: string
}

function readOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      rows: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      out: { type: 'string', default: RESULTS },
    },
  })
  const flags = [...(values.rows === undefined ? [] : ['--rows', values.rows]), ...(values.quick ? ['--quick'] : [])]
  return {
    rows: values.rows === undefined ? FAULT_ROWS : values.rows.split(',').map(rowOf),
    isQuick: values.quick,
    isJson: values.json,
    isList: values.list,
    out: values.out,
    command: ['npm run faults', ...(flags.length === 0 ? [] : ['--', ...flags])].join(' '),
  }
}

function rowOf(text: string): FaultRow {
  const found = FAULT_ROWS.find(({ number }) => number === Number(text))
  const known = FAULT_ROWS.map(({ number }) => number).join(', ')
  if (found === undefined) throw new RangeError(`--rows has '${text}', expected some of ${known}`)
  return found
}

async function main(argv: readonly string[]): Promise<number> {
  const options = readOptions(argv)
  if (options.isList) {
    for (const { number, fault, expected } of options.rows) process.stdout.write(`${number}  ${fault}: ${expected}\n`)
    return 0
  }
  const interrupted = new AbortController()
  process.once('SIGINT', () => interrupted.abort(new Error('interrupted')))
  process.once('SIGTERM', () => interrupted.abort(new Error('interrupted')))
  const line = new ProgressLine(process.stderr)
  const startedAt = new Date(systemClock.wall()).toISOString()
  const from = systemClock.now()
  const results = await runFaults(options.rows, {
    folder: join(options.out, 'work', 'faults'),
    isQuick: options.isQuick,
    signal: interrupted.signal,
    progress: (text) => line.show(text),
    onResult: ({ number, verdict, measured, problems }) => {
      line.clear()
      process.stderr.write(
        `${number} ${verdict}: ${[measured, ...problems].filter((text) => text !== '').join('; ')}\n`,
      )
    },
  })
  line.clear()
  const report = {
    command: options.command,
    startedAt,
    seconds: (systemClock.now() - from) / 1000,
    isQuick: options.isQuick,
    machine: await describeMachine(),
    results,
  }
  const files = await writeFaults(options.out, report)
  process.stdout.write(options.isJson ? `${JSON.stringify(report)}\n` : renderFaults(report))
  const written = files.map((file) => join(relative(process.cwd(), options.out), file))
  process.stderr.write(`written: ${written.join(', ')}\n`)
  return results.some(({ verdict }) => verdict === 'failed') ? 1 : 0
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`faults: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
