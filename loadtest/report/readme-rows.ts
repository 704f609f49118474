/** The rows of the README's table of measured figures, from the results of full runs: one row for each gate. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FaultReport } from '../faults/report.ts'
import type { BenchResult, Gate } from './bench-result.ts'
import { isMet } from './bench-result.ts'
import { formatNumber } from './format.ts'

const RESULT = /^B(\d+)[A-Z]?\.json$/
const FAULTS = 'faults.json'

/** Quick runs, which say nothing, are left out. Benches by number, the table of faults after them where there is one. */
export async function readmeRows(folder: string): Promise<string> {
  const files = await readdir(folder)
  const numberOf = (file: string): number => Number(RESULT.exec(file)?.[1])
  // By name first: the sort is stable, and a bench stands before its siblings.
  const names = files.filter((file) => RESULT.test(file)).toSorted((a, b) => (a < b ? -1 : 1))
  const results: BenchResult[] = []
  for (const name of names.toSorted((a, b) => numberOf(a) - numberOf(b))) {
    results.push(JSON.parse(await readFile(join(folder, name), 'utf8'), notMeasured) as BenchResult)
  }
  const faults = files.includes(FAULTS)
    ? (JSON.parse(await readFile(join(folder, FAULTS), 'utf8')) as FaultReport)
    : undefined
  return `${[...benchTable(results), ...(faults === undefined ? [] : ['', ...faultTable(faults)])].join('\n')}\n`
}

/** JSON has no NaN, and writes it as null. */
function notMeasured(key: string, value: unknown): unknown {
  return key === 'value' && value === null ? Number.NaN : value
}

function benchTable(results: readonly BenchResult[]): string[] {
  return [
    '| Bench | Figure | Measured | Wanted | Met |',
    '|---|---|---|---|---|',
    ...results.flatMap(({ bench, gates }) =>
      gates.map(
        (gate) =>
          `| ${bench} | ${gate.name} | ${withUnit(gate.value, gate)} | ${gate.bound} ${withUnit(gate.limit, gate)} | ${verdict(gate)} |`,
      ),
    ),
  ]
}

function faultTable({ results }: FaultReport): string[] {
  return [
    '| Fault | Injected | Promise | Limit | Measured | Held |',
    '|---|---|---|---|---|---|',
    ...results.map(({ fault, injected, expected, limitSeconds, seconds, verdict: held, measured }) => {
      const took = seconds === undefined ? measured : `${formatNumber(seconds)} s`
      return `| ${fault} | ${injected} | ${expected} | ${formatNumber(limitSeconds)} s | ${took} | ${HELD[held]} |`
    }),
  ]
}

const HELD = { passed: 'yes', failed: '**no**', 'not run': 'not run' } as const

function verdict(gate: Gate): string {
  const met = isMet(gate)
  if (met === undefined) return 'not measured'
  return met ? 'yes' : '**no**'
}

function withUnit(value: number, { unit }: Gate): string {
  return unit === '' ? formatNumber(value) : `${formatNumber(value)} ${unit}`
}
