/** Fault results as one table for a terminal that is Markdown too, and as JSON. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Machine } from '../measure/machine.ts'
import type { Cell } from '../report/bench-result.ts'
import { renderTable } from '../report/table.ts'
import type { FaultResult } from './fault.ts'

export interface FaultReport {
  readonly command: string
  /** ISO 8601, UTC. */
  readonly startedAt: string
  readonly seconds: number
  readonly isQuick: boolean
  readonly machine: Machine
  readonly results: readonly FaultResult[]
}

export function renderFaults({ results, machine, command, startedAt }: FaultReport): string {
  const table = renderTable({
    title: 'Faults',
    columns: [
      { title: 'row' },
      { title: 'fault' },
      { title: 'injected' },
      { title: 'expected' },
      { title: 'limit', unit: 's' },
      { title: 'measured', unit: 's' },
      { title: 'verdict' },
      { title: 'figures' },
    ],
    rows: results.map((result): Cell[] => [
      result.number,
      result.fault,
      result.injected,
      result.expected,
      result.limitSeconds,
      result.seconds,
      result.verdict,
      [result.measured, ...result.problems.map((problem) => `PROBLEM: ${problem}`)]
        .filter((text) => text !== '')
        .join('; '),
    ]),
  })
  const count = (verdict: FaultResult['verdict']) => results.filter((result) => result.verdict === verdict).length
  return [
    `${machine.cpu}, ${machine.cores} cores, ${machine.system}, Node ${machine.node}. \`${command}\`, ${startedAt}.`,
    '',
    table,
    '',
    `${count('passed')} passed, ${count('failed')} failed, ${count('not run')} not run.`,
    '',
  ].join('\n')
}

/** Names of the files written, relative to `folder`. */
export async function writeFaults(folder: string, report: FaultReport): Promise<string[]> {
  const stem = report.isQuick ? 'faults-quick' : 'faults'
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, `${stem}.json`), `${JSON.stringify(report, undefined, 2)}\n`)
  await writeFile(join(folder, `${stem}.md`), renderFaults(report))
  return [`${stem}.json`, `${stem}.md`]
}
