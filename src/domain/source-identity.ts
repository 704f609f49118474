/** Which bytes a version has, told without reading them. */
import { hash } from 'node:crypto'
import type { RemoteFile } from './remote-source.ts'

/** What a file system knows of one file of a version. */
export interface SourceFileFacts {
  /** Relative to the version's folder, with forward slashes. */
  readonly path: string
  readonly bytes: number
  /** Nanoseconds since 1970. */
  readonly mtimeNs: bigint
  /** As `mtimeNs`: when bytes, name, owner or mode were last changed. No program can set it back. */
  readonly ctimeNs: bigint
  readonly inode: bigint
}

/** Hex digits: 96 bits of SHA-256, far beyond what the number of sources in the world could collide in. */
const ID_DIGITS = 24

/**
 * The identity of a version's bytes: a digest over path, size, modification time, change time and inode of its files, in order
 * of their paths. A file that was rewritten, replaced, added or removed gives another one, also where a copying tool set the
 * modification time back. So does a change of owner or mode, at the price of reading the bytes once more: they are found
 * to be known.
 */
export function sourceIdOf(files: readonly SourceFileFacts[]): string {
  const ordered = files.toSorted((a, b) => (a.path < b.path ? -1 : 1))
  // JSON, because a path may hold any separator.
  const text = JSON.stringify(
    ordered.map(({ path, bytes, mtimeNs, ctimeNs, inode }) => [path, bytes, `${mtimeNs}`, `${ctimeNs}`, `${inode}`]),
  )
  return hash('sha256', text, 'hex').slice(0, ID_DIGITS)
}

/**
 * The identity of bytes that lie elsewhere: a digest over place, size and version of each object, in order of their paths. It is known
 * before a byte was fetched, and another object at the same place gives another one.
 */
export function remoteSourceIdOf(files: readonly RemoteFile[]): string {
  const ordered = files.toSorted((a, b) => (a.path < b.path ? -1 : 1))
  const text = JSON.stringify(
    ordered.map(({ path, location, bytes, versionId, etag }) => [path, location, bytes, versionId ?? etag ?? '']),
  )
  return hash('sha256', text, 'hex').slice(0, ID_DIGITS)
}

/** Names of a version's model file; the first that exists counts. */
export const MODEL_FILES = ['model.onnx', 'model.ort'] as const

/** Bounds of a version's folder: more is no model. */
export const SOURCE_BOUNDS = { maxDepth: 8, maxFiles: 10_000 } as const
