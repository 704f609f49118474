/** Figures for people: whole numbers as they are, others with three significant digits. */
import type { Cell } from './bench-result.ts'

export function formatNumber(value: number): string {
  if (Number.isNaN(value)) return '-'
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '-∞'
  const size = Math.abs(value)
  if (size === 0) return '0'
  if (size >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString('en-US')
  if (size < 0.001) return value.toExponential(1)
  return value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(size))))
}

export function formatCell(cell: Cell): string {
  if (cell === undefined) return '-'
  if (typeof cell === 'string') return cell
  if (typeof cell === 'number') return formatNumber(cell)
  if (cell.count <= 1) return formatNumber(cell.median)
  return `${formatNumber(cell.median)} (${formatNumber(cell.min)}–${formatNumber(cell.max)})`
}
