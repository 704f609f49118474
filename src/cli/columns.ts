/** A table in a given width: the column that stretches takes what is left, and those that matter least go when there is too little. */
import type { Colour } from './text.ts'
import { coloured, fitted, visible } from './text.ts'

export interface Column<Row> {
  readonly title: string
  /** In columns; of the stretching one, the least that it needs. */
  readonly width: number
  readonly align?: 'left' | 'right'
  readonly stretches?: boolean
  /** Those with the highest number go first; absent = never. */
  readonly drop?: number
  readonly text: (row: Row, width: number) => string
  readonly colour?: (row: Row) => Colour | undefined
}

const GAP = 2

/** Title line and one line a row, each of exactly `width` columns or fewer. */
export function tableLines<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  { width, hasColours, ellipsis }: { readonly width: number; readonly hasColours: boolean; readonly ellipsis: string },
): string[] {
  const shown = thatFit(columns, width)
  const spare = width - widthOf(shown)
  const widths = shown.map((column) => Math.max(1, column.width + (column.stretches === true ? spare : 0)))
  const line = (cell: (column: Column<Row>, width: number) => readonly [string, Colour | undefined]) =>
    shown
      .map((column, i) => {
        const [text, colour] = cell(column, widths[i] ?? 1)
        const exact = fitted(visible(text), widths[i] ?? 1, column.align, ellipsis)
        return colour === undefined || !hasColours ? exact : coloured(exact, colour)
      })
      .join(' '.repeat(GAP))
  return [
    line((column) => [column.title, 'dim']),
    ...rows.map((row) => line((column, columnWidth) => [column.text(row, columnWidth), column.colour?.(row)])),
  ]
}

function thatFit<Row>(columns: readonly Column<Row>[], width: number): readonly Column<Row>[] {
  let shown = columns
  while (widthOf(shown) > width) {
    const least = Math.max(...shown.map(({ drop = 0 }) => drop))
    if (least === 0) break
    shown = shown.filter(({ drop = 0 }) => drop !== least)
  }
  return shown
}

function widthOf<Row>(columns: readonly Column<Row>[]): number {
  return columns.reduce((sum, column) => sum + column.width + GAP, -GAP)
}
