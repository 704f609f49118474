/**
 * `npm run gpu-check -- --device webgpu|cuda:0`: is this device one to serve from? Prints a table and writes it, with JSON, under
 * loadtest/results/. Ends with 1 when a check failed. Needs the device, and nothing else of the machine.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { systemClock } from '../src/lib/clock.ts'
import { CHECKS } from './gpu/checks.ts'
import type { CheckRow, Rig } from './gpu/rig.ts'
import { describeMachine } from './measure/machine.ts'
import type { BenchResult } from './report/bench-result.ts'
import { ProgressLine } from './report/progress-line.ts'
import { renderResult } from './report/table.ts'
import { writeResult } from './report/write-result.ts'

const RESULTS = fileURLToPath(new URL('./results', import.meta.url))
const CYCLES = 50
const VERDICT = { true: 'yes', false: 'NO', undefined: '-' } as const

async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      device: { type: 'string' },
      cycles: { type: 'string', default: String(CYCLES) },
      out: { type: 'string', default: RESULTS },
    },
  })
  const { device, out } = values
  const cycles = Number(values.cycles)
  if (device === undefined || !(Number.isInteger(cycles) && cycles > 1)) {
    process.stderr.write('npm run gpu-check -- --device webgpu|cuda:0 [--cycles 50] [--out loadtest/results]\n')
    return 2
  }
  const interrupted = new AbortController()
  process.once('SIGINT', () => interrupted.abort(new Error('interrupted')))
  const line = new ProgressLine(process.stderr)
  const rig: Rig = {
    device,
    cycles,
    models: [],
    // Of this run alone: another one beside it must not change its models under it.
    folder: await mkdtemp(join(tmpdir(), 'modelmux-gpu-check-')),
    signal: interrupted.signal,
    progress: (text) => line.show(`${device}: ${text}`),
  }
  const startedAt = new Date(systemClock.wall()).toISOString()
  const start = systemClock.now()
  const rows: CheckRow[] = []
  try {
    for (const check of CHECKS) {
      interrupted.signal.throwIfAborted()
      rows.push(...(await check(rig).catch((error: unknown) => [broken(check.name, error)])))
    }
  } finally {
    line.clear()
    await rm(rig.folder, { recursive: true, force: true })
  }
  const failed = rows.filter(({ passed }) => passed === false).length
  const result: BenchResult = {
    bench: `gpu-check-${device.replace(':', '')}`,
    question: `may models be served from ${device} of this machine?`,
    command: `npm run gpu-check -- --device ${device} --cycles ${cycles}`,
    startedAt,
    seconds: (systemClock.now() - start) / 1000,
    isQuick: false,
    machine: await describeMachine(),
    tables: [
      {
        title: 'Checks',
        columns: ['check', 'measured', 'wanted', 'passed'].map((title) => ({ title })),
        rows: rows.map(({ check, measured, wanted, passed }) => [check, measured, wanted, VERDICT[`${passed}`]]),
      },
    ],
    gates: [],
    charts: [],
    notes: ['A dash: not asked of this device, for the reason beside it.'],
    wrong: rows.filter(({ check, passed }) => passed === false && check.startsWith('answers')).length,
    errors: failed,
  }
  const files = await writeResult(out, result)
  process.stdout.write(`${renderResult(result)}\n`)
  process.stderr.write(`written: ${files.map((file) => join(relative(process.cwd(), out), file)).join(', ')}\n`)
  return failed === 0 ? 0 : 1
}

function broken(check: string, error: unknown): CheckRow {
  const measured = (error instanceof Error ? error.message : String(error)).slice(0, 300).replaceAll('\n', ' ')
  return { check, measured, wanted: 'to run at all', passed: false }
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`gpu-check: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
