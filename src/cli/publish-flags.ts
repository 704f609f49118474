/** The arguments of `modelmux publish`. */
import { parseArgs } from 'node:util'
import { isMlflowText, type MlflowModelPlace, parseMlflowModel } from '../domain/mlflow-uri.ts'
import { aliasProblem, isVersion, nameProblem } from '../domain/model-ref.ts'
import type { S3Folder } from '../domain/s3-uri.ts'
import { parseS3Folder, s3FolderProblem } from '../domain/s3-uri.ts'
import { UsageError } from './usage-error.ts'

export interface PublishFlags {
  /** Folder of the version's files. */
  readonly dir: string
  /** Where it is no place in S3; what says where in S3 is empty then. */
  readonly mlflow: MlflowModelPlace | undefined
  readonly bucket: string
  /** Of the version's folder, with a slash at its end. */
  readonly prefix: string
  readonly version: string
  /** Aliases that name the version afterwards. */
  readonly aliases: readonly string[]
  /** Another version of the same number may be there. */
  readonly replaces: boolean
  readonly sharesBlobs: boolean
  /** The models folder around the version, where it is said. */
  readonly root: S3Folder | undefined
  readonly isJson: boolean
  readonly configFile: string | undefined
  readonly printsHelp: boolean
}

export const PUBLISH_FLAGS = ['alias', 'replace', 'share-blobs', 'root', 'config', 'json', 'help'] as const

export const PUBLISH_HELP = `modelmux publish DIR s3://bucket/prefix/NAME/VERSION: upload a version of a model
modelmux publish DIR mlflow+http://host:5000/NAME: the same into an MLflow registry, which numbers it; mlflow:NAME is the registry of
MLFLOW_TRACKING_URI. Flags about S3 are refused there. Credentials come from MLflow's own variables.

  --alias ALIAS      name the version by this alias afterwards; may be given more than once
  --replace          replace a version of that number that has other files
  --share-blobs      upload big tensors once for all versions of the models folder: a fine-tune of a known model sends what differs
  --root PLACE       models folder that the server serves, as in s3://bucket/prefix; without it the configuration's store.models
  --config FILE      configuration file with the endpoint (store.s3; MODELMUX_STORE_S3_ENDPOINT and the like work too)
  --json             print what was done as one line of JSON, and no progress
  --help             print this text, and end

DIR holds model.onnx and what belongs to it. What is there already with the same bytes is not sent again; the model file goes last, so
that nobody sees half a version. Exit codes: 0 it is there, 1 it failed, 2 bad usage, 3 another version of that number is there.
`

const NONE = {
  dir: '',
  mlflow: undefined,
  bucket: '',
  prefix: '',
  version: '',
  aliases: [],
  replaces: false,
  sharesBlobs: false,
  root: undefined,
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
  const aliases = values.alias ?? []
  for (const alias of aliases) {
    const badAlias = aliasProblem(alias)
    if (badAlias !== undefined) throw new UsageError(`--alias ${alias}: ${badAlias}`)
  }
  const common = { dir, aliases, isJson: values.json ?? false, configFile: values.config }
  if (isMlflowText(target)) return { ...NONE, ...common, mlflow: mlflowPlaceOf(target, values), printsHelp: false }
  const problem = s3FolderProblem(target)
  if (problem !== undefined) throw new UsageError(`${target}: ${problem}; expected s3://bucket/prefix/NAME/VERSION`)
  const { bucket, prefix } = parseS3Folder(target)
  const segments = prefix.split('/').slice(0, -1)
  const version = segments.at(-1) ?? ''
  if (segments.length < 2 || !isVersion(version))
    throw new UsageError(`${target}: expected it to end with the name of a model and a number as version, like churn/7`)
  return {
    ...common,
    mlflow: undefined,
    bucket,
    prefix,
    version,
    replaces: values.replace ?? false,
    sharesBlobs: values['share-blobs'] ?? false,
    root: values.root === undefined ? undefined : rootOf(values.root, { bucket, prefix }),
    printsHelp: false,
  }
}

function mlflowPlaceOf(target: string, values: ReturnType<typeof parsed>['values']): MlflowModelPlace {
  for (const flag of ['replace', 'share-blobs', 'root'] as const)
    if (values[flag] !== undefined) throw new UsageError(`--${flag} is for places in S3, not for ${target}`)
  const place = parseMlflowModel(target)
  const problem = typeof place === 'string' ? place : nameProblem(place.name)
  if (typeof place !== 'string' && problem === undefined) return place
  throw new UsageError(`${target}: ${problem}; expected mlflow+http://host:5000/NAME or mlflow:NAME`)
}

function rootOf(text: string, target: S3Folder): S3Folder {
  const problem = s3FolderProblem(text)
  if (problem !== undefined) throw new UsageError(`--root ${text}: ${problem}; expected s3://bucket/prefix`)
  const root = parseS3Folder(text)
  if (!isAround(root, target)) throw new UsageError(`--root ${text} is not around the place of the version`)
  return root
}

/** Whether a version may be one of a models folder: it has the name of a model between. */
export function isAround(root: S3Folder, { bucket, prefix }: S3Folder): boolean {
  return (
    root.bucket === bucket && prefix.startsWith(root.prefix) && prefix.slice(root.prefix.length).split('/').length > 2
  )
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        alias: { type: 'string', multiple: true },
        replace: { type: 'boolean' },
        'share-blobs': { type: 'boolean' },
        root: { type: 'string' },
        config: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}
