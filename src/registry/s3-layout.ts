/**
 * Finds models in a listing, by the same rules as in a folder:
 *
 *   <prefix><segment>/.../<segment>/<version>/model.onnx
 *            '------- name --------'
 *   <prefix><name>.tar.gz                                    version 1, as SageMaker's multi-model servers have it
 *
 * The topmost folder around a version is a model and holds no further models. Names that begin with a dot are not looked at.
 */
import { isVersion, nameProblem, printable } from '../domain/model-ref.ts'
import type { RemoteFile } from '../domain/remote-source.ts'
import type { S3Folder } from '../domain/s3-uri.ts'
import { s3Location } from '../domain/s3-uri.ts'
import { MODEL_FILES, remoteSourceIdOf, SOURCE_BOUNDS } from '../domain/source-identity.ts'
import { compareVersions } from '../domain/version-order.ts'
import { ALIASES_FILE } from './aliases-file.ts'
import { SETTINGS_FILE } from './model-settings.ts'
import type { FoundModel, FoundObject, FoundVersion } from './remote-model.ts'

/** Tells what is wrong with a path; `undefined` = nothing any more. */
export type TellProblem = (event: string, path: string, problem: string) => void

const ARCHIVE = '.tar.gz'
const ARCHIVE_VERSION = '1'
const MAX_SEGMENTS = 4
const SEGMENT_MAX_BYTES = 255
const MODEL_FILE_NAMES: ReadonlySet<string> = new Set(MODEL_FILES)

interface Draft {
  readonly versions: Map<string, FoundObject[]>
  aliases: FoundObject | undefined
  settings: FoundObject | undefined
}

/** The models among objects of one listing, or of a part of it that holds folders of the first level whole. */
export function modelsIn(objects: readonly FoundObject[], folder: S3Folder, tell: TellProblem): FoundModel[] {
  const shown = objects.filter(({ path }) => !isHidden(path))
  const drafts = draftsOf(shown, tell)
  const archives: FoundObject[] = []
  for (const object of shown) {
    const place = placeIn(drafts, object.path)
    if (place === undefined) {
      if (object.path.endsWith(ARCHIVE)) archives.push(object)
    } else put(place.draft, place.rest, object)
  }
  const models: FoundModel[] = []
  for (const [name, draft] of drafts) {
    const problem = nameProblem(name)
    if (problem === undefined) models.push(folderModel(name, draft, folder))
    else tell('registry.name_skipped', name, problem)
  }
  for (const object of archives) {
    const name = object.path.slice(0, -ARCHIVE.length)
    const problem =
      nameProblem(name) ?? (drafts.has(name) ? 'there is a folder of versions of that name too' : undefined)
    if (problem === undefined) models.push(archiveModel(name, object, folder))
    else tell('registry.name_skipped', object.path, problem)
  }
  return models
}

/** Name of the archive of a model, below the registry's folder. */
export function archivePathOf(name: string): string {
  return `${name}${ARCHIVE}`
}

function isHidden(path: string): boolean {
  // Programs that show a bucket as folders write empty objects with a slash at the end.
  return path === '' || path.endsWith('/') || path.startsWith('.') || path.includes('/.')
}

/** An empty draft for each model that has a model file in a version. */
function draftsOf(objects: readonly FoundObject[], tell: TellProblem): Map<string, Draft> {
  const candidates = new Map<string, Draft>()
  for (const { path } of objects) {
    const segments = path.split('/')
    const version = segments.at(-2)
    if (!MODEL_FILE_NAMES.has(segments.at(-1) ?? '')) continue
    if (version === undefined || !isVersion(version)) {
      const problem =
        'a model file lies outside a version; expected <name>/<version>/model.onnx with a number as version'
      tell('registry.layout_problem', path, problem)
      continue
    }
    const name = segments.slice(0, -2).join('/')
    if (name === '') {
      tell(
        'registry.name_skipped',
        path,
        'versions lie directly in the models folder; expected <name>/<version>/model.onnx',
      )
      continue
    }
    if (segments.length - 2 > MAX_SEGMENTS) continue
    let draft = candidates.get(name)
    if (draft === undefined) {
      draft = { versions: new Map(), aliases: undefined, settings: undefined }
      candidates.set(name, draft)
    }
    draft.versions.set(version, [])
  }
  for (const name of candidates.keys())
    if (prefixesOf(name).some((prefix) => candidates.has(prefix))) candidates.delete(name)
  return candidates
}

function prefixesOf(name: string): string[] {
  const prefixes: string[] = []
  for (let slash = name.indexOf('/'); slash !== -1; slash = name.indexOf('/', slash + 1))
    prefixes.push(name.slice(0, slash))
  return prefixes
}

function placeIn(drafts: ReadonlyMap<string, Draft>, path: string): { draft: Draft; rest: string } | undefined {
  for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1)) {
    const draft = drafts.get(path.slice(0, slash))
    if (draft !== undefined) return { draft, rest: path.slice(slash + 1) }
  }
  return undefined
}

function put(draft: Draft, rest: string, object: FoundObject): void {
  const slash = rest.indexOf('/')
  if (slash !== -1) draft.versions.get(rest.slice(0, slash))?.push(object)
  else if (rest === ALIASES_FILE) draft.aliases = object
  else if (rest === SETTINGS_FILE) draft.settings = object
}

function folderModel(name: string, { versions, aliases, settings }: Draft, folder: S3Folder): FoundModel {
  const found = [...versions].map(([version, objects]) =>
    folderVersion(`${name}/${version}/`, version, objects, folder),
  )
  found.sort((a, b) => compareVersions(a.facts.version, b.facts.version))
  return { name, versions: found, aliases, settings, isArchive: false }
}

function folderVersion(at: string, version: string, objects: readonly FoundObject[], folder: S3Folder): FoundVersion {
  const kept = objects.slice(0, SOURCE_BOUNDS.maxFiles)
  const files = kept.map((object) => remoteFile(object, object.path.slice(at.length), folder))
  const problem =
    objects.length > kept.length ? `there are more than ${SOURCE_BOUNDS.maxFiles} files` : pathsProblem(files)
  return {
    facts: {
      version,
      sourceId: remoteSourceIdOf(files),
      modelFile: MODEL_FILES.find((name) => files.some(({ path }) => path === name)) ?? MODEL_FILES[0],
      bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
      ...(problem === undefined ? {} : { problem }),
    },
    files,
    newestMs: kept.reduce((newest, { modifiedMs }) => Math.max(newest, modifiedMs), 0),
  }
}

function archiveModel(name: string, object: FoundObject, folder: S3Folder): FoundModel {
  const files: RemoteFile[] = [
    { ...remoteFile(object, object.path.slice(object.path.lastIndexOf('/') + 1), folder), isArchive: true },
  ]
  const facts = {
    version: ARCHIVE_VERSION,
    sourceId: remoteSourceIdOf(files),
    modelFile: MODEL_FILES[0],
    bytes: object.bytes,
  }
  const versions = [{ facts, files, newestMs: object.modifiedMs }]
  return { name, versions, aliases: undefined, settings: undefined, isArchive: true }
}

function remoteFile({ path, bytes, etag }: FoundObject, within: string, { bucket, prefix }: S3Folder): RemoteFile {
  return { path: within, bytes, location: s3Location(bucket, `${prefix}${path}`), etag }
}

/** Keys are any text; here they become names of files. */
function pathsProblem(files: readonly RemoteFile[]): string | undefined {
  const folders = new Set<string>()
  for (const { path } of files) {
    const segments = path.split('/')
    if (segments.length - 1 > SOURCE_BOUNDS.maxDepth)
      return `'${printable(path)}' lies deeper than ${SOURCE_BOUNDS.maxDepth} folders`
    if (
      segments.some(
        (segment) => segment === '' || Buffer.byteLength(segment) > SEGMENT_MAX_BYTES || /[\0\\]/.test(segment),
      )
    )
      return `'${printable(path)}' cannot be the name of a file`
    for (const prefix of prefixesOf(path)) folders.add(prefix)
  }
  const both = files.find(({ path }) => folders.has(path))
  return both === undefined ? undefined : `'${printable(both.path)}' is a file and a folder`
}
