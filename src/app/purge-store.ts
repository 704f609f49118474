/**
 * Removes what was published of some models in S3: their versions, aliases and settings, and the shared tensors that no other version of
 * the models folder has. What belongs to a model is told as the registry tells it.
 */
import type { S3 } from '../clients/s3.ts'
import type { S3Eraser, S3Kept } from '../clients/s3-eraser.ts'
import { isVersion } from '../domain/model-ref.ts'
import { isPurged, NOTHING, type PurgeTarget, type Removed } from '../domain/purge.ts'
import type { S3Folder } from '../domain/s3-uri.ts'
import {
  blobKey,
  parseSharedFiles,
  SHARED_FILES,
  SHARED_FILES_MAX_BYTES,
  SharedFilesError,
} from '../domain/shared-blobs.ts'
import { MODEL_FILES } from '../domain/source-identity.ts'
import { eachOf } from '../lib/each-of.ts'
import { ALIASES_FILE } from '../registry/aliases-file.ts'
import { SETTINGS_FILE } from '../registry/model-settings.ts'
import { archivePathOf } from '../registry/s3-layout.ts'
import { listGroups } from '../registry/s3-listing.ts'
import { isMissing, PARALLEL_CALLS, sumOf } from './purge-objects.ts'

export interface StorePurge {
  readonly models: readonly string[]
  /** Old versions of objects count too. */
  readonly objects: Removed
  readonly blobs: Removed
}

const MAX_OBJECTS = 1_000_000
const SIDECARS: ReadonlySet<string> = new Set([ALIASES_FILE, SETTINGS_FILE])
const MODEL_FILE_NAMES: ReadonlySet<string> = new Set(MODEL_FILES)

/** @throws S3Error; the signal's reason */
export async function purgeStore(
  { s3, eraser }: { readonly s3: S3; readonly eraser: S3Eraser },
  root: S3Folder,
  target: PurgeTarget,
  isDryRun: boolean,
  signal: AbortSignal,
): Promise<StorePurge> {
  const { bucket, prefix } = root
  const found = await eraser.list(bucket, `${prefix}${target.name}`, MAX_OBJECTS, signal)
  const paths = found.map(({ key }) => key.slice(prefix.length))
  const names = modelsAround(paths, target)
  const isTheirs = (path: string): boolean => {
    if (target.isTenant && path.startsWith(`${target.name}/`)) return true
    const name = ownerOf(path, names)
    return name !== undefined && isPurged(target, name)
  }
  const theirs = found.filter((_, index) => isTheirs(paths[index] ?? ''))
  const blobs = await unsharedBlobs(s3, root, theirs, signal)
  const kept = await eachOf([...blobs], PARALLEL_CALLS, signal, (sha256) =>
    eraser.list(bucket, blobKey(root, sha256), MAX_OBJECTS, signal),
  )
  // The model files first: from then on nobody takes what is left for a version.
  const inOrder = [...theirs.filter(isModelFile), ...theirs.filter((one) => !isModelFile(one))]
  if (!isDryRun) {
    for (const one of inOrder.filter(isModelFile)) await eraser.erase(bucket, one, signal)
    await eachOf([...inOrder.filter((one) => !isModelFile(one)), ...kept.flat()], PARALLEL_CALLS, signal, (one) =>
      eraser.erase(bucket, one, signal),
    )
  }
  return {
    models: [...names].filter(
      (name) => isPurged(target, name) && theirs.some(({ key }) => isOf(key, `${prefix}${name}`)),
    ),
    objects: sumOf(theirs),
    blobs: sumOf(kept.flat()),
  }
}

/** Of several models folders together. */
export function mergePurges(purges: readonly StorePurge[]): StorePurge {
  const add = (a: Removed, b: Removed): Removed => ({ count: a.count + b.count, bytes: a.bytes + b.bytes })
  return {
    models: [...new Set(purges.flatMap(({ models }) => models))],
    objects: purges.map(({ objects }) => objects).reduce(add, NOTHING),
    blobs: purges.map(({ blobs }) => blobs).reduce(add, NOTHING),
  }
}

/** Models that model files show, and the one that is asked for where nothing speaks against it: of a first upload that broke off. */
function modelsAround(paths: readonly string[], { name }: PurgeTarget): ReadonlySet<string> {
  const names = new Set(paths.flatMap((path) => modelOf(path) ?? []))
  if (![...names].some((other) => other.startsWith(`${name}/`))) names.add(name)
  return names
}

/** The model that a model file shows, by the registry's layout; undefined for other objects. */
function modelOf(path: string): string | undefined {
  const segments = path.split('/')
  const isModel = MODEL_FILE_NAMES.has(segments.at(-1) ?? '') && isVersion(segments.at(-2) ?? '')
  return isModel && segments.length > 2 ? segments.slice(0, -2).join('/') : undefined
}

/** Whose an object is: the topmost model around it counts. */
function ownerOf(path: string, names: ReadonlySet<string>): string | undefined {
  for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1)) {
    const name = path.slice(0, slash)
    const rest = path.slice(slash + 1)
    if (names.has(name)) return isVersion(rest.slice(0, rest.indexOf('/'))) || SIDECARS.has(rest) ? name : undefined
  }
  const archive = path.replace(/\.tar\.gz$/, '')
  return archive !== path && archivePathOf(archive) === path ? archive : undefined
}

/** Digests that these versions name and no other version of the folder does. */
async function unsharedBlobs(
  s3: S3,
  root: S3Folder,
  theirs: readonly S3Kept[],
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const { bucket, prefix } = root
  const own = theirs.filter(({ key, bytes }) => isManifest(key) && bytes > 0)
  if (own.length === 0) return new Set()
  const keys = new Set(own.map(({ key }) => key))
  const others: Array<{ readonly key: string }> = []
  for await (const group of listGroups((request) => s3.list(request, signal), root, MAX_OBJECTS, signal))
    for (const { path } of group)
      if (isManifest(path) && !keys.has(`${prefix}${path}`)) others.push({ key: `${prefix}${path}` })
  const held = new Set(
    (await eachOf(others, PARALLEL_CALLS, signal, (other) => digestsOf(s3, bucket, other, signal))).flat(),
  )
  const named = (await eachOf(own, PARALLEL_CALLS, signal, (one) => digestsOf(s3, bucket, one, signal))).flat()
  return new Set(named.filter((sha256) => !held.has(sha256)))
}

/** None of a manifest that went meanwhile, or is none. */
async function digestsOf(
  s3: S3,
  bucket: string,
  { key, versionId }: { readonly key: string; readonly versionId?: string | undefined },
  signal: AbortSignal,
): Promise<string[]> {
  const name = { bucket, key, versionId }
  try {
    const { bytes, etag } = await s3.head(name, signal)
    const text = await s3.readText({ ...name, etag }, bytes, SHARED_FILES_MAX_BYTES, signal)
    return parseSharedFiles(text).map(({ sha256 }) => sha256)
  } catch (error) {
    if (error instanceof SharedFilesError || isMissing(error)) return []
    throw error
  }
}

function isOf(key: string, model: string): boolean {
  return key.startsWith(`${model}/`) || key === archivePathOf(model)
}

function isManifest(key: string): boolean {
  return key.endsWith(`/${SHARED_FILES}`)
}

function isModelFile({ key }: S3Kept): boolean {
  return MODEL_FILES.some((name) => key.endsWith(`/${name}`))
}
