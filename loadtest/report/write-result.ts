/** Writes a result as JSON, Markdown and plots into a folder that git ignores; a later run of the same bench replaces it. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BenchResult } from './bench-result.ts'
import { renderChart } from './svg.ts'
import { renderResult } from './table.ts'

/** Names of the files written, relative to `folder`. */
export async function writeResult(folder: string, result: BenchResult): Promise<string[]> {
  const stem = result.isQuick ? `${result.bench}-quick` : result.bench
  const files = new Map([
    [`${stem}.json`, `${JSON.stringify(result, undefined, 2)}\n`],
    [`${stem}.md`, renderResult(result)],
    ...result.charts.map((chart): [string, string] => [`${stem}-${chart.id}.svg`, renderChart(chart)]),
  ])
  await mkdir(folder, { recursive: true })
  for (const [name, text] of files) await writeFile(join(folder, name), text)
  return [...files.keys()]
}
