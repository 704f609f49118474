/**
 * `npm run bench -- NAME...`: runs benches, prints their tables, and writes JSON, Markdown and plots under loadtest/results/.
 * Ends with 1 when an answer was wrong or a bench failed; with 2 when a gate was missed and --enforce was given.
 */
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { systemClock } from '../src/lib/clock.ts'
import type { Bench, BenchContext } from './bench/bench.ts'
import { BENCHES } from './bench/index.ts'
import { describeMachine } from './measure/machine.ts'
import { CLASS_NAMES, type ClassName } from './models/index.ts'
import { type BenchResult, isMet } from './report/bench-result.ts'
import { ProgressLine } from './report/progress-line.ts'
import { readmeRows } from './report/readme-rows.ts'
import { renderResult } from './report/table.ts'
import { writeResult } from './report/write-result.ts'

const RESULTS = fileURLToPath(new URL('./results', import.meta.url))
const QUICK_REPS = 1
const QUICK_SCALE = 0.01

interface Options {
  readonly names: readonly string[]
  readonly isQuick: boolean
  readonly isJson: boolean
  readonly enforces: boolean
  readonly withPeers: boolean
  readonly isReadme: boolean
  /** Undefined: as many as the bench wants. */
  readonly reps: number | undefined
  readonly scale: number
  readonly classes: readonly ClassName[] | undefined
  /** Folder for results, and for models while a bench works. */
  readonly out: string
  readonly command: string
}

function readOptions(argv: readonly string[]): Options {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      enforce: { type: 'boolean', default: false },
      peers: { type: 'boolean', default: false },
      readme: { type: 'boolean', default: false },
      reps: { type: 'string' },
      scale: { type: 'string' },
      classes: { type: 'string' },
      out: { type: 'string', default: RESULTS },
    },
  })
  const wantedReps = values.reps ?? (values.quick ? String(QUICK_REPS) : undefined)
  const reps = wantedReps === undefined ? undefined : Number(wantedReps)
  const scale = Number(values.scale ?? (values.quick ? QUICK_SCALE : 1))
  if (reps !== undefined && !(Number.isInteger(reps) && reps > 0)) {
    throw new RangeError(`--reps is ${values.reps}, expected a positive integer`)
  }
  if (!(scale > 0 && scale <= 1)) throw new RangeError(`--scale is ${values.scale}, expected a number above 0 up to 1`)
  return {
    names: positionals,
    isQuick: values.quick,
    isJson: values.json,
    enforces: values.enforce,
    withPeers: values.peers,
    isReadme: values.readme,
    reps,
    scale,
    classes: values.classes?.split(',').map(className),
    out: values.out,
    command: ['npm run bench --', ...positionals, ...shownFlags(values)].join(' '),
  }
}

/** The flags that say what was measured; not the folders, which say whose machine it was. */
function shownFlags(values: Readonly<Record<string, string | boolean | undefined>>): string[] {
  return ['quick', 'peers', 'reps', 'scale', 'classes'].flatMap((flag) => {
    const value = values[flag]
    if (value === undefined || value === false) return []
    return value === true ? [`--${flag}`] : [`--${flag} ${value}`]
  })
}

function className(text: string): ClassName {
  const found = CLASS_NAMES.find((name) => name === text.trim().toUpperCase())
  if (found === undefined) throw new RangeError(`--classes has '${text}', expected some of ${CLASS_NAMES.join(', ')}`)
  return found
}

function chosen(names: readonly string[]): Bench[] {
  return names.map((name) => {
    const found = BENCHES.find((bench) => bench.name.toLowerCase() === name.toLowerCase())
    if (found === undefined) throw new RangeError(`there is no bench ${name}; ${usage()}`)
    return found
  })
}

function usage(): string {
  const list = BENCHES.map(
    ({ name, question, minutes }) => `  ${name.padEnd(4)} ${question} (about ${minutes} minutes)`,
  )
  return [
    'npm run bench -- NAME... [--quick] [--reps N] [--scale 0.1] [--classes M,R] [--peers] [--json] [--enforce]',
    ...list,
    '  --quick    one short repetition at a hundredth of the scale: shows that it works',
    '  --reps     repetitions of everything compared, 5 by default (30 for B6, 7 for B6S)',
    '  --scale    share of the models, 1 by default',
    '  --classes  only these classes of models, where the bench has several',
    '  --peers    beside Ray Serve too (B3, B11): installs it into .venv-peers first, 600 MB; needs Python 3.11 on Linux x64',
    '  --out      folder for results and work, loadtest/results by default',
    '  --json     print JSON instead of tables',
    '  --enforce  end with 2 when a gate is missed',
    "  --readme   print the README's table of measured figures from the results of full runs, and run nothing",
    '',
  ].join('\n')
}

async function runBench(bench: Bench, options: Options, signal: AbortSignal): Promise<BenchResult> {
  const line = new ProgressLine(process.stderr)
  const context: BenchContext = {
    reps: options.reps ?? bench.reps,
    scale: options.scale,
    classes: options.classes,
    isQuick: options.isQuick,
    withPeers: options.withPeers,
    folder: join(options.out, 'work', bench.name),
    signal,
    progress: (text) => line.show(`${bench.name}: ${text}`),
  }
  const startedAt = new Date(systemClock.wall()).toISOString()
  const start = systemClock.now()
  try {
    const findings = await bench.run(context)
    return {
      bench: bench.name,
      question: bench.question,
      command: options.command,
      startedAt,
      seconds: (systemClock.now() - start) / 1000,
      isQuick: options.isQuick,
      machine: await describeMachine(),
      ...findings,
    }
  } finally {
    line.clear()
  }
}

async function main(argv: readonly string[]): Promise<number> {
  const options = readOptions(argv)
  if (options.isReadme) {
    process.stdout.write(await readmeRows(options.out))
    return 0
  }
  const benches = chosen(options.names)
  if (benches.length === 0) {
    process.stdout.write(usage())
    return 0
  }
  const interrupted = new AbortController()
  process.once('SIGINT', () => interrupted.abort(new Error('interrupted')))
  process.once('SIGTERM', () => interrupted.abort(new Error('interrupted')))
  let exitCode = 0
  for (const bench of benches) {
    const result = await runBench(bench, options, interrupted.signal)
    const files = await writeResult(options.out, result)
    process.stdout.write(options.isJson ? `${JSON.stringify(result)}\n` : `${renderResult(result)}\n`)
    process.stderr.write(
      `written: ${files.map((file) => join(relative(process.cwd(), options.out), file)).join(', ')}\n`,
    )
    if (result.wrong > 0) exitCode = 1
    else if (options.enforces && exitCode === 0 && result.gates.some((gate) => isMet(gate) === false)) exitCode = 2
  }
  return exitCode
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
