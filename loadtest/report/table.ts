/** A bench's findings as text: tables for a terminal that are Markdown too, gates below them. */
import { type BenchResult, type Gate, isMet, type Table } from './bench-result.ts'
import { formatCell, formatNumber } from './format.ts'

/** Markdown wants a dash and a colon at least. */
const RULE_WIDTH = 3

export function renderResult(result: BenchResult): string {
  const { machine } = result
  const memory = `${formatNumber(machine.memoryBytes / 2 ** 30)} GiB`
  const lines = [
    `## ${result.bench}: ${result.question}`,
    '',
    `${machine.cpu}, ${machine.cores} cores, ${memory}, ${machine.system}, Node ${machine.node}, ONNX Runtime ${machine.onnxruntime}.`,
    `\`${result.command}\`, ${result.startedAt}, ${formatNumber(result.seconds)} s. Median (min–max) of repetitions.`,
  ]
  if (result.isQuick) lines.push('A quick run: it shows that the bench works, its figures mean little.')
  for (const table of result.tables) lines.push('', renderTable(table))
  if (result.gates.length > 0) lines.push('', renderTable(gateTable(result.gates)))
  if (result.notes.length > 0) lines.push('', ...result.notes.map((note) => `- ${note}`))
  lines.push('', `Wrong answers: ${result.wrong}. Errors: ${result.errors}.`)
  return `${lines.join('\n')}\n`
}

export function renderTable({ title, columns, rows }: Table): string {
  const titles = columns.map(({ title: text, unit }) => (unit === undefined ? text : `${text} [${unit}]`))
  const cells = rows.map((row) => columns.map((_, i) => formatCell(row[i])))
  const widths = titles.map((text, i) => Math.max(text.length, RULE_WIDTH, ...cells.map((row) => row[i]?.length ?? 0)))
  const isText = columns.map((_, i) => rows.every((row) => typeof row[i] === 'string'))
  const line = (row: readonly string[]): string => {
    const padded = row.map((text, i) =>
      isText[i] === true ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0),
    )
    return `| ${padded.join(' | ')} |`
  }
  const rule = widths.map((width, i) => (isText[i] === true ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [`**${title}**`, '', line(titles), `| ${rule.join(' | ')} |`, ...cells.map(line)].join('\n')
}

function gateTable(gates: readonly Gate[]): Table {
  return {
    title: 'Gates',
    columns: [{ title: 'figure' }, { title: 'measured' }, { title: 'wanted' }, { title: 'met' }],
    rows: gates.map((gate) => [
      gate.name,
      withUnit(gate.value, gate.unit),
      `${gate.bound} ${withUnit(gate.limit, gate.unit)}`,
      verdict(gate),
    ]),
  }
}

function verdict(gate: Gate): string {
  const met = isMet(gate)
  if (met === undefined) return 'not measured'
  return met ? 'yes' : 'NO'
}

function withUnit(value: number, unit: string): string {
  return unit === '' ? formatNumber(value) : `${formatNumber(value)} ${unit}`
}
