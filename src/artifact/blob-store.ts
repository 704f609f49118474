/**
 * Content-addressed tensor files, the compiler child's side: `blobs/<aa>/<sha256>`, written once, mode 0444, shared by all artifacts.
 * A blob appears by rename. It is not synced to disk: a killed process loses nothing, and what a power failure truncates or garbles is
 * found by the size check at the next open and by the digest scrub, and compiled again; a sync would cost 5 ms a tensor.
 */
import { hash } from 'node:crypto'
import { chmodSync, closeSync, openSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { BlobRef } from '../domain/artifact.ts'
import { blobPath } from './layout.ts'
import { digestWindow, RangeReader } from './range-reader.ts'
import type { ByteWindow } from './wire.ts'

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
    return this.#put(digestWindow(window, start, end), end - start, (fd) => {
      for (const chunk of new RangeReader(window, start, end)) writeAll(fd, chunk)
    })
  }

  #put(digest: string, bytes: number, write: (fd: number) => void): BlobRef {
    const known = this.#written.get(digest)
    if (known !== undefined) return known
    const ref = { digest, bytes }
    const path = join(this.#cache, blobPath(digest))
    // A blob of the right name and the wrong size is a torn one: replaced, not believed.
    if (statSync(path, { throwIfNoEntry: false })?.size !== bytes) this.#write(path, write)
    // Renews the change time, by which the collector tells a blob that is about to be referred to from an old unreferenced one.
    else chmodSync(path, READ_ONLY)
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
    renameSync(partial, path)
  }
}

/** Writes everything: one call may move less than it was given. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  let done = 0
  while (done < bytes.length) done += writeSync(fd, bytes, done, bytes.length - done)
}
