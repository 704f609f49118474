/** The flags of `modelmux top`. */
import { parseArgs } from 'node:util'
import { UsageError } from './usage-error.ts'

export interface TopFlags {
  readonly url: string
  readonly isOnce: boolean
  readonly isJson: boolean
  readonly intervalMs: number
  readonly printsHelp: boolean
}

export const TOP_FLAGS = ['url', 'once', 'json', 'interval', 'help'] as const

export const TOP_HELP = `modelmux top: watch a running server of this machine

  --url URL          the server (default http://127.0.0.1:8080)
  --interval SECONDS between two looks (default 1)
  --once             print one look and end; so does output that is no terminal
  --json             print what the server tells, one line of JSON a look
  --help             print this text, and end

q or Ctrl-C ends it.
`

const MIN_INTERVAL_S = 0.2
const MAX_INTERVAL_S = 3600

/** @throws UsageError */
export function parseTopFlags(args: readonly string[]): TopFlags {
  const values = parsed(args)
  const url = values.url ?? 'http://127.0.0.1:8080'
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new UsageError(`--url ${url}: expected a URL like http://127.0.0.1:8080`)
  const seconds = Number(values.interval ?? 1)
  if (!(seconds >= MIN_INTERVAL_S && seconds <= MAX_INTERVAL_S))
    throw new UsageError(
      `--interval ${values.interval ?? ''}: expected seconds from ${MIN_INTERVAL_S} to ${MAX_INTERVAL_S}`,
    )
  return {
    url,
    isOnce: values.once ?? false,
    isJson: values.json ?? false,
    intervalMs: seconds * 1000,
    printsHelp: values.help ?? false,
  }
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        url: { type: 'string' },
        interval: { type: 'string' },
        once: { type: 'boolean' },
        json: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}
