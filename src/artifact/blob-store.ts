/**
 * Content-addressed tensor files, the compiler child's side: `blobs/<aa>/<sha256>`, written once, mode 0444, shared by all artifacts.
 * A blob appears by rename. It is not synced to disk: a killed process loses nothing, and what a power failure truncates or garbles is
 * found by the size check at the next open and by the digest scrub, and compiled again; a sync would cost 5 ms a tensor.
 */
import { createHash, hash } from 'node:crypto'
import { chmodSync, closeSync, mkdirSync, openSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { killPoint } from '../child/kill-points.ts'
import type { BlobRef } from '../domain/artifact.ts'
import { GatewayError } from '../domain/errors.ts'
import { isGone } from '../lib/file-tree.ts'
import { blobPath } from './layout.ts'
import { digestWindow, RangeReader, withFile } from './range-reader.ts'
import type { ByteWindow } from './wire.ts'

/** What this process wrote or digested itself, as `path:mtime:inode`: a blob that somebody left there is read once before it is used. */
const verified = new Set<string>()

const READ_ONLY = 0o444
/** Up to here a tensor is read once and held; above, once to digest it and a second time, from the page cache, to copy it. */
const HOLD_BYTES = 8 * 1024 * 1024

export class BlobStore {
  readonly #cache: string
  readonly #staging: string
  readonly #written = new Map<string, BlobRef>()
  #serial = 0

  /** `staging`: a folder on the cache's file system that nobody else writes to. */
  constructor(cache: string, staging: string) {
    this.#cache = cache
    this.#staging = staging
  }

  /** Every blob put so far, once each. */
  get blobs(): readonly BlobRef[] {
    return [...this.#written.values()]
  }

  putBytes(bytes: Uint8Array): BlobRef {
    const digest = hash('sha256', bytes, 'hex')
    return this.#put(digest, bytes.length, (fd) => writeAll(fd, bytes))
  }

  /** The bytes [start, end) of a window, never held whole when they are many. */
  putRange(window: ByteWindow, start: number, end: number): BlobRef {
    if (end - start <= HOLD_BYTES) return this.putBytes(window.slice(start, end))
    const digest = digestWindow(window, start, end)
    return this.#put(digest, end - start, (fd) => {
      const copied = createHash('sha256')
      for (const chunk of new RangeReader(window, start, end)) {
        copied.update(chunk)
        writeAll(fd, chunk)
      }
      if (copied.digest('hex') !== digest)
        throw new GatewayError('MODEL_LOADING', 'the data of the model changed while it was copied; it is tried again')
    })
  }

  #put(digest: string, bytes: number, write: (fd: number) => void): BlobRef {
    const known = this.#written.get(digest)
    if (known !== undefined) return known
    const ref = { digest, bytes }
    const path = join(this.#cache, blobPath(digest))
    // A blob of the right name with other content is a torn one: replaced, not believed.
    if (!isWhole(path, ref)) this.#write(path, write)
    // Renews the change time, by which the collector tells a blob that is about to be referred to from an old unreferenced one.
    else chmodSync(path, READ_ONLY)
    verified.add(identityOf(path) ?? '')
    this.#written.set(digest, ref)
    return ref
  }

  #write(path: string, write: (fd: number) => void): void {
    const partial = join(this.#staging, `blob-${this.#serial++}`)
    const fd = openSync(partial, 'wx', READ_ONLY)
    try {
      write(fd)
    } catch (error) {
      rmSync(partial, { force: true })
      throw error
    } finally {
      closeSync(fd)
    }
    chmodSync(partial, READ_ONLY)
    killPoint('blob')
    try {
      renameSync(partial, path)
    } catch (error) {
      if (!isGone(error)) throw error
      // Somebody emptied the cache folder under us.
      mkdirSync(dirname(path), { recursive: true })
      renameSync(partial, path)
    }
    killPoint('blob')
  }
}

/** Is the blob there with the content that its name says? */
function isWhole(path: string, { digest, bytes }: BlobRef): boolean {
  if (statSync(path, { throwIfNoEntry: false })?.size !== bytes) return false
  if (verified.has(identityOf(path) ?? '')) return true
  return withFile(path, (window) => digestWindow(window, 0, window.size)) === digest
}

function identityOf(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false })
  return stat === undefined ? undefined : `${path}:${stat.mtimeMs}:${stat.ino}`
}

/** Writes everything: one call may move less than it was given. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  let done = 0
  while (done < bytes.length) done += writeSync(fd, bytes, done, bytes.length - done)
}
