/**
 * Brings the files of a folder to S3 as a version of a model. What is there with the same bytes stays; the model file is written last,
 * because a version counts from then on, and removed first where a version is replaced.
 */
import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { S3, S3Listed } from '../clients/s3.ts'
import { S3Error } from '../clients/s3-error.ts'
import type { S3Writer } from '../clients/s3-writer.ts'
import { MODEL_FILES, SOURCE_BOUNDS } from '../domain/source-identity.ts'
import { listTree } from '../lib/file-tree.ts'

export interface PublishOptions {
  readonly dir: string
  readonly bucket: string
  /** Of the version's folder, with a slash at its end. */
  readonly prefix: string
  readonly version: string
  readonly aliases: readonly string[]
  readonly replaces: boolean
  readonly onProgress: (progress: PublishProgress) => void
}

export interface PublishProgress {
  readonly step: 'digest' | 'upload'
  readonly bytesDone: number
  readonly bytes: number
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
  readonly removed: readonly string[]
  /** Aliases that named another version, or none, before. */
  readonly movedAliases: readonly string[]
}

/** The folder is no version of a model, or cannot be read. */
export class NotPublishableError extends Error {
  override readonly name = 'NotPublishableError'
}

/** A version of that number is there, with other files. */
export class VersionExistsError extends Error {
  override readonly name = 'VersionExistsError'
}

interface LocalFile {
  readonly path: string
  readonly bytes: number
  readonly sha256: string
}

const READ_BYTES = 2 ** 20
const ALIASES_FILE = 'aliases.json'
const ALIASES_MAX_BYTES = 256 * 1024
/** Somebody else may write the aliases at the same time. */
const ALIAS_TRIES = 5
const PAGE = 1000

/** @throws NotPublishableError, VersionExistsError, S3Error, the signal's reason */
export async function publishToS3(
  s3: S3,
  writer: S3Writer,
  options: PublishOptions,
  signal: AbortSignal,
): Promise<Published> {
  const { bucket, prefix } = options
  const local = await digested(options, signal)
  const remote = await listAll(s3, bucket, prefix, signal)
  const same = await alreadyThere(s3, options, local, remote, signal)
  const names = new Set(local.map(({ path }) => path))
  const strangers = remote.map(({ key }) => key.slice(prefix.length)).filter((path) => path !== '' && !names.has(path))
  const others = remote.filter(({ key }) => names.has(key.slice(prefix.length)) && !same.has(key.slice(prefix.length)))
  const isVersionThere = remote.some(({ key }) => isModelFile(key.slice(prefix.length)))
  if (isVersionThere && !options.replaces && strangers.length + others.length > 0)
    throw new VersionExistsError(
      `there is a version ${options.version} with other files (${[...others.map(({ key }) => key.slice(prefix.length)), ...strangers].slice(0, 5).join(', ')}); publish another number, or use --replace`,
    )
  const missing = local.filter(({ path }) => !same.has(path))
  const isChanged = missing.length + strangers.length > 0
  if (isVersionThere && isChanged) {
    for (const name of MODEL_FILES) await writer.delete({ bucket, key: `${prefix}${name}` }, signal)
    for (const name of MODEL_FILES) same.delete(name)
  }
  for (const path of strangers) await writer.delete({ bucket, key: `${prefix}${path}` }, signal)
  await uploadAll(
    writer,
    options,
    local.filter(({ path }) => !same.has(path)),
    signal,
  )
  const movedAliases = options.aliases.length === 0 ? [] : await moveAliases(s3, writer, options, signal)
  return {
    files: local.map((file) => ({ ...file, isUploaded: !same.has(file.path) })),
    removed: strangers,
    movedAliases,
  }
}

async function digested({ dir, onProgress }: PublishOptions, signal: AbortSignal): Promise<LocalFile[]> {
  const { files, problem } = await listTree(dir, SOURCE_BOUNDS, signal).catch((error: unknown) => {
    signal.throwIfAborted()
    throw new NotPublishableError(`${dir} cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  })
  if (problem !== undefined) throw new NotPublishableError(`${dir}: ${problem}`)
  if (!files.some(({ path }) => isModelFile(path)))
    throw new NotPublishableError(`${dir}: there is no ${MODEL_FILES[0]} in it`)
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  let bytesDone = 0
  const local: LocalFile[] = []
  for (const file of files) {
    const sha256 = await withFile(join(dir, file.path), (handle) =>
      digestOf(handle, signal, (done) => {
        bytesDone += done
        onProgress({ step: 'digest', bytesDone, bytes })
      }),
    )
    local.push({ path: file.path, bytes: file.bytes, sha256 })
  }
  return local
}

async function digestOf(file: FileHandle, signal: AbortSignal, onBytes: (bytes: number) => void): Promise<string> {
  const digest = createHash('sha256')
  const buffer = Buffer.alloc(READ_BYTES)
  for (;;) {
    signal.throwIfAborted()
    const { bytesRead } = await file.read(buffer, 0, buffer.length, null)
    if (bytesRead === 0) return digest.digest('hex')
    digest.update(buffer.subarray(0, bytesRead))
    onBytes(bytesRead)
  }
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
  { dir, bucket, prefix, onProgress }: PublishOptions,
  files: readonly LocalFile[],
  signal: AbortSignal,
): Promise<void> {
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  let bytesDone = 0
  const onBytes = (done: number): void => {
    bytesDone += done
    onProgress({ step: 'upload', bytesDone, bytes })
  }
  const inOrder = [...files.filter(({ path }) => !isModelFile(path)), ...files.filter(({ path }) => isModelFile(path))]
  for (const { path, bytes: fileBytes, sha256 } of inOrder)
    await withFile(join(dir, path), (file) =>
      writer.upload({ bucket, key: `${prefix}${path}` }, { file, bytes: fileBytes, sha256, onBytes }, signal),
    )
}

/** Changes nothing else in the file, also when others change it meanwhile. */
async function moveAliases(
  s3: S3,
  writer: S3Writer,
  { bucket, prefix, version, aliases }: PublishOptions,
  signal: AbortSignal,
): Promise<string[]> {
  const key = `${prefix.slice(0, prefix.lastIndexOf('/', prefix.length - 2) + 1)}${ALIASES_FILE}`
  for (let tries = 1; ; tries++) {
    const { etag, known } = await readAliases(s3, bucket, key, signal)
    const moved = aliases.filter((alias) => known.get(alias) !== version)
    if (moved.length === 0) return []
    for (const alias of moved) known.set(alias, version)
    const body = Buffer.from(`${JSON.stringify(Object.fromEntries(known), null, 2)}\n`)
    const sha256 = createHash('sha256').update(body).digest('hex')
    try {
      await writer.put({ bucket, key }, body, sha256, { over: { etag }, signal })
      return moved
    } catch (error) {
      if (!(error instanceof S3Error) || error.kind !== 'replaced' || tries === ALIAS_TRIES) throw error
    }
  }
}

async function readAliases(
  s3: S3,
  bucket: string,
  key: string,
  signal: AbortSignal,
): Promise<{ etag: string | null; known: Map<string, unknown> }> {
  try {
    const { etag, bytes } = await s3.head({ bucket, key }, signal)
    const text = await s3.readText({ bucket, key, etag }, bytes, ALIASES_MAX_BYTES, signal)
    const content: unknown = JSON.parse(text)
    if (typeof content === 'object' && content !== null && !Array.isArray(content))
      return { etag, known: new Map(Object.entries(content)) }
    throw new NotPublishableError(`${key} is no object of versions by alias; nothing was changed in it`)
  } catch (error) {
    if (error instanceof SyntaxError) throw new NotPublishableError(`${key} is not JSON; nothing was changed in it`)
    if (error instanceof S3Error && error.kind === 'not-found') return { etag: null, known: new Map() }
    throw error
  }
}

async function withFile<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path)
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}

function isModelFile(path: string): boolean {
  return MODEL_FILES.some((name) => name === path)
}
