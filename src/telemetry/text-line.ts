/**
 * A log line of JSON as a line for people: time, level, event, then `key=value`; stacks below, indented. What would steer a terminal
 * (names of files, words of the engine about a model) is shown as an escape.
 */

/** Control and format characters, and separators of lines, but for the ends of lines and tabs that stacks have. */
const STEERING = /(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** Takes what the logger wrote; what is not JSON passes unchanged. */
export function textLine(line: string): string {
  const fields = parse(line)
  if (fields === undefined) return line
  const { time, level, event, err, ...rest } = fields
  let text = `${clockTime(time)} ${String(level).toUpperCase().padEnd(5)} ${String(event)}`
  for (const [key, value] of Object.entries(rest)) text += ` ${key}=${show(value)}`
  text = escaped(text)
  const stack = stackOf(err)
  return stack === undefined ? `${text}\n` : `${text}\n${escaped(stack).replace(/^/gm, '    ')}\n`
}

function escaped(text: string): string {
  return text.replace(STEERING, (one) => `\\u${(one.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`)
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined
  }
}

function clockTime(time: unknown): string {
  return typeof time === 'string' ? time.slice(11, 23) : '-'
}

function show(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value)
  return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value)
}

function stackOf(err: unknown): string | undefined {
  if (typeof err !== 'object' || err === null || !('stack' in err)) return undefined
  return typeof err.stack === 'string' ? err.stack : undefined
}
