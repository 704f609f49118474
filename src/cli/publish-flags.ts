/** The arguments of `modelmux publish`. */
import { parseArgs } from 'node:util'
import { aliasProblem, isVersion } from '../domain/model-ref.ts'
import { parseS3Folder, s3FolderProblem } from '../domain/s3-uri.ts'
import { UsageError } from './usage-error.ts'

export interface PublishFlags {
  /** Folder of the version's files. */
  readonly dir: string
  readonly bucket: string
  /** Of the version's folder, with a slash at its end. */
  readonly prefix: string
  readonly version: string
  /** Aliases that name the version afterwards. */
  readonly aliases: readonly string[]
  /** Another version of the same number may be there. */
  readonly replaces: boolean
  readonly isJson: boolean
  readonly configFile: string | undefined
  readonly printsHelp: boolean
}

export const PUBLISH_FLAGS = ['alias', 'replace', 'config', 'json', 'help'] as const

export const PUBLISH_HELP = `modelmux publish DIR s3://bucket/prefix/NAME/VERSION: upload a version of a model

  --alias ALIAS      name the version by this alias afterwards; may be given more than once
  --replace          replace a version of that number that has other files
  --config FILE      configuration file with the endpoint (store.s3; MODELMUX_STORE_S3_ENDPOINT and the like work too)
  --json             print what was done as one line of JSON, and no progress
  --help             print this text, and end

DIR holds model.onnx and what belongs to it. What is there already with the same bytes is not sent again; the model file goes last, so
that nobody sees half a version. Exit codes: 0 it is there, 1 it failed, 2 bad usage, 3 another version of that number is there.
`

const NONE = {
  dir: '',
  bucket: '',
  prefix: '',
  version: '',
  aliases: [],
  replaces: false,
  isJson: false,
  configFile: undefined,
}

/** @throws UsageError */
export function parsePublishFlags(args: readonly string[]): PublishFlags {
  const { values, positionals } = parsed(args)
  if (values.help === true) return { ...NONE, printsHelp: true }
  const [dir, target, ...more] = positionals
  if (dir === undefined || target === undefined || more.length > 0)
    throw new UsageError(
      'expected a folder and a place, as in: modelmux publish ./model s3://bucket/models/acme/churn/7',
    )
  const problem = s3FolderProblem(target)
  if (problem !== undefined) throw new UsageError(`${target}: ${problem}; expected s3://bucket/prefix/NAME/VERSION`)
  const { bucket, prefix } = parseS3Folder(target)
  const segments = prefix.split('/').slice(0, -1)
  const version = segments.at(-1) ?? ''
  if (segments.length < 2 || !isVersion(version))
    throw new UsageError(`${target}: expected it to end with the name of a model and a number as version, like churn/7`)
  const aliases = values.alias ?? []
  for (const alias of aliases) {
    const badAlias = aliasProblem(alias)
    if (badAlias !== undefined) throw new UsageError(`--alias ${alias}: ${badAlias}`)
  }
  return {
    dir,
    bucket,
    prefix,
    version,
    aliases,
    replaces: values.replace ?? false,
    isJson: values.json ?? false,
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
        alias: { type: 'string', multiple: true },
        replace: { type: 'boolean' },
        config: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}
