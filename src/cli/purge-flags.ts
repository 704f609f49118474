/** The arguments of `modelmux purge`. */
import { parseArgs } from 'node:util'
import type { ServeFlags } from '../config/flags.ts'
import { nameProblem } from '../domain/model-ref.ts'
import type { PurgeTarget } from '../domain/purge.ts'
import { UsageError } from './usage-error.ts'

export interface PurgeFlags {
  readonly target: PurgeTarget
  /** Published versions too. */
  readonly purgesStore: boolean
  readonly isDryRun: boolean
  readonly isJson: boolean
  /** Text of flags that set fields of the configuration. */
  readonly fields: ServeFlags['fields']
  readonly configFile: string | undefined
  readonly printsHelp: boolean
}

export const PURGE_FLAGS = ['tenant', 'store', 'models', 'cache', 'config', 'dry-run', 'yes', 'json', 'help'] as const

export const PURGE_HELP = `modelmux purge NAME: remove all that is kept of a model

  --tenant           NAME is a tenant: remove NAME and every NAME/...
  --store            remove the published versions too, where the models folder lies in S3: for good, old object versions included
  --models PLACE     models folder, as for serve; without it the configuration's store.models
  --cache DIR        cache folder; without it the configuration's cache.dir
  --config FILE      configuration file of the server
  --dry-run          say what would be removed, and remove nothing
  --yes              remove it
  --json             print what was removed as one line of JSON
  --help             print this text, and end

Removed are compiled artifacts, tensors that no other model has, fetched files, what is remembered of the registry, quarantine records
and lines of the journal; and from the fleet cache (artifact.fleetCache, mode readwrite) what this cache folder knows to be the model's.
A model that is still published comes back with its next request. No server may be using the cache folder.
Exit codes: 0 removed, 1 it failed, 2 bad usage, 3 a server is using the cache folder.
`

const NONE = {
  target: { name: '', isTenant: false },
  purgesStore: false,
  isDryRun: false,
  isJson: false,
  fields: [],
  configFile: undefined,
}

/** @throws UsageError */
export function parsePurgeFlags(args: readonly string[]): PurgeFlags {
  const { values, positionals } = parsed(args)
  if (values.help === true) return { ...NONE, printsHelp: true }
  const [name, ...more] = positionals
  if (name === undefined || more.length > 0)
    throw new UsageError('expected the name of one model, as in: modelmux purge acme/churn --yes')
  const problem = nameProblem(name)
  if (problem !== undefined) throw new UsageError(`'${name}' is no name of a model: ${problem}`)
  const isDryRun = values['dry-run'] ?? false
  if (!isDryRun && values.yes !== true)
    throw new UsageError('what is purged is gone for good: add --yes, or --dry-run to see what it would be')
  return {
    target: { name, isTenant: values.tenant ?? false },
    purgesStore: values.store ?? false,
    isDryRun,
    isJson: values.json ?? false,
    fields: [
      ...(values.cache === undefined ? [] : [{ flag: '--cache', path: ['cache', 'dir'], text: values.cache }]),
      ...(values.models === undefined ? [] : [{ flag: '--models', path: ['store', 'models'], text: values.models }]),
    ],
    configFile: values.config,
    printsHelp: false,
  }
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        tenant: { type: 'boolean' },
        store: { type: 'boolean' },
        cache: { type: 'string' },
        models: { type: 'string' },
        config: { type: 'string' },
        'dry-run': { type: 'boolean' },
        yes: { type: 'boolean' },
        json: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}
