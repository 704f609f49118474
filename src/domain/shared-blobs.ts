/**
 * Tensors that versions of one models folder share in S3. The folder has one object of each, named by its SHA-256, and a version that
 * was published so says in a manifest which of its files they are:
 *
 *   <root>.blobs/<aa>/<sha256>                                written once, never replaced
 *   <root><name>/<version>/modelmux.blobs.json                { "format": 1, "files": [{ "path", "sha256", "bytes" }, ...] }
 *
 * Whoever can write a version can write its manifest, so a manifest names digests and no places, and bytes are held against the digest.
 */
import type { RemoteFile } from './remote-source.ts'
import type { S3Folder } from './s3-uri.ts'
import { s3Location } from './s3-uri.ts'
import { SOURCE_BOUNDS } from './source-identity.ts'

export interface SharedFile {
  /** Relative to the version's folder. */
  readonly path: string
  /** Hex. */
  readonly sha256: string
  readonly bytes: number
}

export const SHARED_FILES = 'modelmux.blobs.json'
/** 10,000 files with long names. */
export const SHARED_FILES_MAX_BYTES = 4 * 2 ** 20
/** Below, a request of its own costs more than the bytes; as with tensors of compiled models. */
export const MIN_SHARED_BYTES = 64 * 1024

/** Begins with a dot, as names do that no registry takes for a model's. */
const BLOBS_FOLDER = '.blobs/'
const SHA256_HEX = /^[0-9a-f]{64}$/
const FORMAT = 1

export class SharedFilesError extends Error {
  override readonly name = 'SharedFilesError'
}

/** Where the blobs of a models folder lie. */
export function blobsFolderOf({ bucket, prefix }: S3Folder): S3Folder {
  return { bucket, prefix: `${prefix}${BLOBS_FOLDER}` }
}

export function blobKey(root: S3Folder, sha256: string): string {
  return `${blobsFolderOf(root).prefix}${sha256.slice(0, 2)}/${sha256}`
}

export function renderSharedFiles(files: readonly SharedFile[]): string {
  const sorted = files.toSorted((a, b) => (a.path < b.path ? -1 : 1))
  return `${JSON.stringify({ format: FORMAT, files: sorted.map(({ path, sha256, bytes }) => ({ path, sha256, bytes })) }, null, 1)}\n`
}

/** Paths are any text still: they are checked together with those of the version's other files. @throws SharedFilesError */
export function parseSharedFiles(text: string): SharedFile[] {
  const { format, files } = objectOf(text)
  if (format !== FORMAT) throw new SharedFilesError(`its format is not ${FORMAT}`)
  if (!Array.isArray(files) || files.length > SOURCE_BOUNDS.maxFiles)
    throw new SharedFilesError(`expected a list of at most ${SOURCE_BOUNDS.maxFiles} files`)
  return files.map((file: unknown, index) => {
    if (!isSharedFile(file)) throw new SharedFilesError(`file ${index} is not a path, a SHA-256 and a number of bytes`)
    return { path: file.path, sha256: file.sha256, bytes: file.bytes }
  })
}

/** Where to fetch it: within the root's blobs, whatever the manifest says. */
export function remoteFileOf({ path, sha256, bytes }: SharedFile, root: S3Folder): RemoteFile {
  return { path, bytes, sha256, location: s3Location(root.bucket, blobKey(root, sha256)), isShared: true }
}

function objectOf(text: string): { readonly format?: unknown; readonly files?: unknown } {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    throw new SharedFilesError('it is not JSON')
  }
}

function isSharedFile(value: unknown): value is SharedFile {
  if (typeof value !== 'object' || value === null) return false
  const { path, sha256, bytes } = value as Partial<Record<keyof SharedFile, unknown>>
  return (
    typeof path === 'string' &&
    typeof sha256 === 'string' &&
    SHA256_HEX.test(sha256) &&
    Number.isSafeInteger(bytes) &&
    Number(bytes) >= 0
  )
}
