/** Figures for a screen: short numbers, durations, bars, lines of history. */

/** The characters that figures are drawn with; a terminal without Unicode gets ASCII. */
export interface Glyphs {
  readonly ellipsis: string
  readonly dot: string
  /** From nothing to full, for bars and lines of history. */
  readonly eighths: readonly string[]
  readonly heights: readonly string[]
  /** One for each part of a bar of several. */
  readonly parts: readonly string[]
  readonly rest: string
}

export const UNICODE: Glyphs = {
  ellipsis: '…',
  dot: '·',
  eighths: ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'],
  heights: ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
  parts: ['█', '▓', '▒', '░', '▚'],
  rest: '·',
}

export const ASCII: Glyphs = {
  ellipsis: '~',
  dot: '-',
  eighths: ['', '', '', '', '', '', '', '', '#'],
  heights: ['_', '.', ':', '-', '=', '+', '*', '#'],
  parts: ['#', '=', '+', '-', '%'],
  rest: '.',
}

/** Three digits and a unit at most: `0.4`, `12`, `4.3k`, `1.2M`. */
export function shortNumber(value: number): string {
  const size = Math.abs(value)
  if (size < 0.05) return '0'
  if (size < 9.95) return value.toFixed(1).replace(/\.0$/, '')
  if (size < 999.5) return value.toFixed(0)
  return size < 999_500 ? `${oneDigit(value / 1e3)}k` : `${oneDigit(value / 1e6)}M`
}

/** Milliseconds as `0.21`, `2.1`, `21`, `1.2s`; a dash for none. */
export function shortMs(ms: number | null): string {
  if (ms === null) return '-'
  if (ms < 0.995) return ms.toFixed(2)
  if (ms < 9.95) return ms.toFixed(1)
  return ms < 999.5 ? ms.toFixed(0) : `${oneDigit(ms / 1000)}s`
}

export function percent(share: number | null): string {
  if (share === null) return '-'
  // Nearly all is not all.
  return share > 0.99 && share < 1 ? `${(Math.floor(share * 1000) / 10).toFixed(1)}%` : `${Math.round(share * 100)}%`
}

/** `42s`, `3m 07s`, `5h 12m`, `9d 4h`. */
export function shortDuration(seconds: number): string {
  const s = Math.floor(seconds)
  if (s < 60) return `${s}s`
  if (s < 3600) return `${Math.floor(s / 60)}m ${String(s % 60).padStart(2, '0')}s`
  if (s < 86_400) return `${Math.floor(s / 3600)}h ${String(Math.floor(s / 60) % 60).padStart(2, '0')}m`
  return `${Math.floor(s / 86_400)}d ${Math.floor(s / 3600) % 24}h`
}

/** A bar of up to `columns` columns for a share of 0 to 1. */
export function bar(share: number, columns: number, { eighths }: Glyphs): string {
  const filled = Math.min(1, Math.max(0, share)) * columns
  const full = Math.floor(filled)
  const part = eighths[Math.round((filled - full) * 8)] ?? ''
  return (eighths[8] ?? '').repeat(full) + part
}

/** One character a value, scaled to the largest. */
export function sparkline(values: readonly number[], { heights }: Glyphs): string {
  const largest = Math.max(...values)
  return values
    .map((value) => {
      const at = largest <= 0 ? 0 : Math.round((value / largest) * (heights.length - 1))
      return heights[Math.min(heights.length - 1, Math.max(0, at))] ?? ''
    })
    .join('')
}

/** Columns of each part of a bar of `columns`; a part above nothing has one at least, as far as there is room. */
export function shareOut(parts: readonly number[], whole: number, columns: number): number[] {
  let left = columns
  let later = parts.filter((part) => part > 0).length
  return parts.map((part) => {
    if (part > 0) later--
    const wanted = whole <= 0 ? 0 : Math.max(part > 0 ? 1 : 0, Math.round((part / whole) * columns))
    const given = Math.min(wanted, Math.max(part > 0 ? 1 : 0, left - later), left)
    left -= given
    return given
  })
}

function oneDigit(value: number): string {
  return Math.abs(value) < 9.95 ? value.toFixed(1) : value.toFixed(0)
}
