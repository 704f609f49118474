/** What the environment says of the terminal a command writes to. */

export interface TerminalFacts {
  /** https://no-color.org: set to anything but nothing, no colours are wanted. */
  readonly wantsColours: boolean
  /** It cannot move its cursor. */
  readonly isDumb: boolean
  /** Can it show more than ASCII? A locale that is not set says nothing against it. */
  readonly isUnicode: boolean
}

export function terminalFacts(env: NodeJS.ProcessEnv = process.env): TerminalFacts {
  const { NO_COLOR = '', TERM, LC_ALL, LC_CTYPE, LANG } = env
  const locale = [LC_ALL, LC_CTYPE, LANG].find((value) => value !== undefined && value !== '') ?? 'UTF-8'
  const isDumb = TERM === 'dumb'
  return { wantsColours: NO_COLOR === '' && !isDumb, isDumb, isUnicode: /utf-?8/i.test(locale) }
}
