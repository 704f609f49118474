/** Text for terminals: widths in columns, not characters; colours that take no width; nothing that could steer the terminal. */

const ESC = '\u001b'
const COLOURED = new RegExp(`${ESC}\\[[0-9;]*m`, 'g')
/** Everything that is no visible character: control codes above all, which would let a model's name move the cursor. */
const INVISIBLE = /[\p{C}\p{Zl}\p{Zp}]/gu
const NO_WIDTH = /^\p{M}$/u
const TWO_WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]$/u

export type Colour = 'dim' | 'bold' | 'red' | 'green' | 'yellow' | 'blue' | 'cyan'

const CODES: Readonly<Record<Colour, number>> = { dim: 2, bold: 1, red: 31, green: 32, yellow: 33, blue: 34, cyan: 36 }

export function coloured(text: string, colour: Colour): string {
  return text === '' ? '' : `${ESC}[${CODES[colour]}m${text}${ESC}[0m`
}

export function withoutColours(text: string): string {
  return text.replace(COLOURED, '')
}

/** Text from elsewhere, fit to be shown. */
export function visible(text: string): string {
  return text.replace(INVISIBLE, '?')
}

/** Columns that a text without colours takes. */
export function columnsOf(text: string): number {
  let columns = 0
  for (const character of text) columns += widthOf(character)
  return columns
}

/** At most so many columns; what is cut off shows as an ellipsis. */
export function cut(text: string, columns: number, ellipsis = '…'): string {
  if (columnsOf(text) <= columns) return text
  if (columns <= 0) return ''
  let kept = ''
  let used = columnsOf(ellipsis)
  for (const character of text) {
    used += widthOf(character)
    if (used > columns) break
    kept += character
  }
  return used <= columns || kept !== '' ? kept + ellipsis : ellipsis.slice(0, columns)
}

/** Exactly so many columns. */
export function fitted(text: string, columns: number, align: 'left' | 'right' = 'left', ellipsis = '…'): string {
  const short = cut(text, columns, ellipsis)
  const blanks = ' '.repeat(Math.max(0, columns - columnsOf(short)))
  return align === 'left' ? short + blanks : blanks + short
}

function widthOf(character: string): number {
  if (NO_WIDTH.test(character)) return 0
  return TWO_WIDE.test(character) ? 2 : 1
}
