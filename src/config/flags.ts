/** The flags of `modelmux serve`: one table for reading them and for the text of `--help`. */
import { parseArgs } from 'node:util'
import { nearNames } from '../lib/near-names.ts'
import { ConfigError } from './config-error.ts'

interface FlagRow {
  /** Word for the value in the help text; absent for a switch. */
  readonly takes?: string
  /** Field of the configuration that the flag sets. */
  readonly field?: readonly [section: string, field: string]
  readonly help: string
}

export const SERVE_FLAGS = {
  models: {
    takes: 'PLACE',
    field: ['store', 'models'],
    help: 'folder of models, <name>/<version>/model.onnx: a path or s3://bucket/prefix; or an MLflow registry: mlflow+http://host:5000 (default ./models)',
  },
  cache: {
    takes: 'DIR',
    field: ['cache', 'dir'],
    help: 'folder for compiled models; created when missing (default ./.modelmux)',
  },
  host: { takes: 'HOST', field: ['server', 'host'], help: 'address to listen on (default 127.0.0.1)' },
  port: { takes: 'PORT', field: ['server', 'port'], help: 'port to listen on; 0 picks a free one (default 8080)' },
  workers: { takes: 'N', field: ['worker', 'count'], help: 'processes that run models (default: cores)' },
  device: {
    takes: 'DEVICE',
    field: ['device', 'use'],
    help: 'what models run on: cpu, webgpu, cuda:N or auto (default cpu)',
  },
  memory: {
    takes: 'BYTES',
    field: ['cache', 'memoryBytes'],
    help: 'memory for open models, like 4GiB (default: 0.7 of the limit of this process)',
  },
  config: { takes: 'FILE', help: 'configuration file (default: none; also MODELMUX_CONFIG)' },
  'print-config': { help: 'print the configuration as it would be used, and end' },
  help: { help: 'print this text, and end' },
  version: { help: 'print the version, and end' },
} as const satisfies Record<string, FlagRow>

type FlagName = keyof typeof SERVE_FLAGS

export interface ServeFlags {
  /** Text of each flag that sets a field. */
  readonly fields: readonly { readonly flag: string; readonly path: readonly string[]; readonly text: string }[]
  readonly configFile?: string
  readonly printsConfig: boolean
  readonly printsHelp: boolean
  readonly printsVersion: boolean
}

/**
 * @param argv what follows `serve` on the command line
 * @throws ConfigError naming every flag that is unknown, repeated, or lacks its value
 */
export function parseServeFlags(argv: readonly string[]): ServeFlags {
  const problems: string[] = []
  const texts = new Map<FlagName, string>()
  const switches = new Set<FlagName>()
  for (const token of tokensOf(argv)) {
    if (token.kind === 'option-terminator') continue
    if (token.kind === 'positional') {
      problems.push(`'${token.value}': expected only flags after serve; ${FLAG_LIST}`)
      continue
    }
    if (!isFlag(token.name)) {
      const [near] = nearNames(token.name, Object.keys(SERVE_FLAGS), 1)
      problems.push(
        `${token.rawName}: there is no such flag${near === undefined ? '' : `, did you mean --${near}?`}; ${FLAG_LIST}`,
      )
      continue
    }
    const row: FlagRow = SERVE_FLAGS[token.name]
    if (row.takes === undefined) {
      if (token.value !== undefined) problems.push(`--${token.name}=${token.value}: the flag takes no value`)
      switches.add(token.name)
      continue
    }
    if (token.value === undefined || token.value === '' || (!token.inlineValue && token.value.startsWith('--'))) {
      problems.push(`--${token.name}: expected a value, as in --${token.name} ${row.takes}`)
    } else if (texts.has(token.name)) {
      problems.push(`--${token.name}: given more than once`)
    } else {
      texts.set(token.name, token.value)
    }
  }
  if (problems.length > 0) throw new ConfigError(problems)
  const configFile = texts.get('config')
  return {
    fields: [...texts].flatMap(([name, text]) => {
      const row: FlagRow = SERVE_FLAGS[name]
      return row.field === undefined ? [] : [{ flag: `--${name}`, path: row.field, text }]
    }),
    ...(configFile === undefined ? {} : { configFile }),
    printsConfig: switches.has('print-config'),
    printsHelp: switches.has('help'),
    printsVersion: switches.has('version'),
  }
}

/** One line a flag, for `--help`. */
export function describeServeFlags(): string {
  const rows = Object.entries(SERVE_FLAGS).map(
    ([name, row]: [string, FlagRow]) =>
      [`--${name}${row.takes === undefined ? '' : ` ${row.takes}`}`, row.help] as const,
  )
  const width = Math.max(...rows.map(([usage]) => usage.length))
  return rows.map(([usage, help]) => `  ${usage.padEnd(width)}  ${help}`).join('\n')
}

const FLAG_LIST = `the flags are ${Object.keys(SERVE_FLAGS)
  .map((name) => `--${name}`)
  .join(' ')}`

function isFlag(name: string): name is FlagName {
  return Object.hasOwn(SERVE_FLAGS, name)
}

/** Not strict, because strict parsing stops at the first problem. */
function tokensOf(argv: readonly string[]) {
  const options = Object.fromEntries(
    Object.entries(SERVE_FLAGS).map(([name, row]: [string, FlagRow]) => [
      name,
      { type: row.takes === undefined ? ('boolean' as const) : ('string' as const) },
    ]),
  )
  return parseArgs({ args: [...argv], options, strict: false, tokens: true, allowPositionals: true }).tokens
}
