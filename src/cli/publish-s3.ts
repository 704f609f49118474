/**
 * Brings the files of a folder to S3 as a version of a model. What is there with the same bytes stays; the model file is written last,
 * because a version counts from then on, and removed first where a version is replaced. What is shared is there before it.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { S3, S3Listed } from '../clients/s3.ts'
import { S3Error } from '../clients/s3-error.ts'
import type { S3Writer } from '../clients/s3-writer.ts'
import type { S3Folder } from '../domain/s3-uri.ts'
import { MODEL_FILES, SOURCE_BOUNDS } from '../domain/source-identity.ts'
import type { LocalFile, TellProgress } from './local-version.ts'
import { isModelFile, readVersion, stepMeter, sumBytes, withFile } from './local-version.ts'
import { moveAliases } from './s3-aliases.ts'
import { missingBlobs, uploadBlobs } from './s3-blobs.ts'
import type { SharedVersion, SplitTerms } from './shared-version.ts'
import { shareVersion } from './shared-version.ts'

export interface PublishOptions {
  readonly dir: string
  readonly bucket: string
  /** Of the version's folder, with a slash at its end. */
  readonly prefix: string
  readonly version: string
  readonly aliases: readonly string[]
  readonly replaces: boolean
  /** Absent: nothing is shared. `root`: the models folder around the version. */
  readonly share?: SplitTerms & { readonly root: S3Folder }
  readonly onProgress: TellProgress
}

export interface PublishedFile {
  readonly path: string
  readonly bytes: number
  /** Hex. */
  readonly sha256: string
  readonly isUploaded: boolean
}

export interface Published {
  readonly files: readonly PublishedFile[]
  /** What the version has together with others; paths as in the version. */
  readonly shared: readonly PublishedFile[]
  readonly removed: readonly string[]
  /** Aliases that named another version, or none, before. */
  readonly movedAliases: readonly string[]
}

/** A version of that number is there, with other files. */
export class VersionExistsError extends Error {
  override readonly name = 'VersionExistsError'
}

const PAGE = 1000

/** @throws NotPublishableError, VersionExistsError, S3Error, the signal's reason */
export async function publishToS3(
  s3: S3,
  writer: S3Writer,
  options: PublishOptions,
  signal: AbortSignal,
): Promise<Published> {
  const { dir, share, onProgress } = options
  if (share === undefined) {
    const files = await readVersion(dir, onProgress, signal)
    return await publishFiles(s3, writer, options, { files, blobs: [] }, signal)
  }
  const workDir = await mkdtemp(join(tmpdir(), 'modelmux-publish-'))
  try {
    const version = await shareVersion(dir, workDir, share, onProgress, signal)
    return await publishFiles(s3, writer, options, version, signal)
  } finally {
    await rm(workDir, { recursive: true, force: true })
  }
}

async function publishFiles(
  s3: S3,
  writer: S3Writer,
  options: PublishOptions,
  { files, blobs }: SharedVersion,
  signal: AbortSignal,
): Promise<Published> {
  const { bucket, prefix, version, aliases, replaces, share, onProgress } = options
  const remote = await listAll(s3, bucket, prefix, signal)
  const same = await alreadyThere(s3, options, files, remote, signal)
  const names = new Set(files.map(({ path }) => path))
  const strangers = remote.map(({ key }) => key.slice(prefix.length)).filter((path) => path !== '' && !names.has(path))
  const others = remote.map(({ key }) => key.slice(prefix.length)).filter((path) => names.has(path) && !same.has(path))
  const isVersionThere = remote.some(({ key }) => isModelFile(key.slice(prefix.length)))
  if (isVersionThere && !replaces && strangers.length + others.length > 0)
    throw new VersionExistsError(
      `there is a version ${version} with other files (${[...others, ...strangers].slice(0, 5).join(', ')}); publish another number, or use --replace`,
    )
  const missing = share === undefined ? [] : await missingBlobs(s3, share.root, blobs, signal)
  const isChanged = files.some(({ path }) => !same.has(path)) || strangers.length > 0
  if (isVersionThere && isChanged) {
    for (const name of MODEL_FILES) await writer.delete({ bucket, key: `${prefix}${name}` }, signal)
    for (const name of MODEL_FILES) same.delete(name)
  }
  const toUpload = files.filter(({ path }) => !same.has(path))
  const onBytes = stepMeter('upload', sumBytes(toUpload) + sumBytes(missing.map(({ blob }) => blob)), onProgress)
  if (share !== undefined) await uploadBlobs(s3, writer, share.root, missing, onBytes, signal)
  for (const path of strangers) await writer.delete({ bucket, key: `${prefix}${path}` }, signal)
  await uploadAll(writer, options, toUpload, onBytes, signal)
  const model = { bucket, prefix: prefix.slice(0, prefix.lastIndexOf('/', prefix.length - 2) + 1) }
  const movedAliases = aliases.length === 0 ? [] : await moveAliases(s3, writer, model, aliases, version, signal)
  const uploaded = new Set(missing.map(({ blob }) => blob.sha256))
  return {
    files: files.map((file) => published(file, !same.has(file.path))),
    shared: blobs.map((blob) => published(blob, uploaded.has(blob.sha256))),
    removed: strangers,
    movedAliases,
  }
}

function published({ path, bytes, sha256 }: LocalFile, isUploaded: boolean): PublishedFile {
  return { path, bytes, sha256, isUploaded }
}

async function listAll(s3: S3, bucket: string, prefix: string, signal: AbortSignal): Promise<S3Listed[]> {
  const found: S3Listed[] = []
  let from: string | undefined
  do {
    const page = await s3.list({ bucket, prefix, from, limit: PAGE }, signal)
    found.push(...page.objects)
    if (found.length > SOURCE_BOUNDS.maxFiles)
      throw new S3Error('refused', `there are more than ${SOURCE_BOUNDS.maxFiles} objects`)
    from = page.next
  } while (from !== undefined)
  return found
}

/** Paths of objects that have the very bytes of the local files. */
async function alreadyThere(
  s3: S3,
  { bucket, prefix }: PublishOptions,
  local: readonly LocalFile[],
  remote: readonly S3Listed[],
  signal: AbortSignal,
): Promise<Set<string>> {
  const listed = new Map(remote.map((object) => [object.key.slice(prefix.length), object]))
  const same = new Set<string>()
  for (const { path, bytes, sha256 } of local) {
    const object = listed.get(path)
    if (object?.bytes !== bytes) continue
    const facts = await s3.head({ bucket, key: object.key, etag: object.etag }, signal)
    if (facts.sha256 === sha256) same.add(path)
  }
  return same
}

async function uploadAll(
  writer: S3Writer,
  { bucket, prefix }: PublishOptions,
  files: readonly LocalFile[],
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const inOrder = [...files.filter(({ path }) => !isModelFile(path)), ...files.filter(({ path }) => isModelFile(path))]
  for (const { path, bytes, sha256, file, from } of inOrder)
    await withFile(file, (handle) =>
      writer.upload({ bucket, key: `${prefix}${path}` }, { file: handle, from, bytes, sha256, onBytes }, signal),
    )
}
