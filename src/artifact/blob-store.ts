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
import { isGone } from '../lib/file-tree.ts'
import { blobPath } from './layout.ts'
import { digestWindow, RangeReader, withFile } from './range-reader.ts'
import type { TensorSink } from './tensor-sink.ts'
import type { ByteWindow } from './wire.ts'

/** What this process wrote or digested itself, as `path:mtime:inode`: a blob that somebody left there is read once before it is used. */
const verified = new Set<string>()

const READ_ONLY = 0o444
/** Up to here a tensor is held whole, in a buffer that is used again: fresh ones cost more in page faults than the reading. */
const HOLD_BYTES = 4 * 1024 * 1024

export class BlobStore implements TensorSink {
  readonly #cache: string
  readonly #staging: string
  readonly #written = new Map<string, BlobRef>()
  #held: Buffer | undefined
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
    const ref = { digest: hash('sha256', bytes, 'hex'), bytes: bytes.length }
    const known = this.#written.get(ref.digest)
    if (known !== undefined) return known
    this.#keep(ref, () => this.#writePartial((write) => write(bytes)))
    return ref
  }

  /** The bytes [start, end) of a window, never held whole when they are many. */
  putRange(window: ByteWindow, start: number, end: number): BlobRef {
    const bytes = end - start
    if (bytes <= HOLD_BYTES) {
      this.#held ??= Buffer.allocUnsafeSlow(HOLD_BYTES)
      return this.putBytes(window.read(start, this.#held.subarray(0, bytes)))
    }
    // Written while it is digested, perhaps in vain: a second digest of what is new costs more than a copy of what is not.
    const copied = createHash('sha256')
    const partial = this.#writePartial((write) => {
      for (const chunk of new RangeReader(window, start, end)) {
        copied.update(chunk)
        write(chunk)
      }
    })
    const ref = { digest: copied.digest('hex'), bytes }
    const known = this.#written.get(ref.digest)
    if (known === undefined) this.#keep(ref, () => partial)
    rmSync(partial, { force: true })
    return known ?? ref
  }

  #keep(ref: BlobRef, partial: () => string): void {
    const path = join(this.#cache, blobPath(ref.digest))
    // A blob of the right name with other content is a torn one: replaced, not believed.
    if (!isWhole(path, ref)) placeAt(path, partial())
    // Renews the change time, by which the collector tells a blob that is about to be referred to from an old unreferenced one.
    else chmodSync(path, READ_ONLY)
    verified.add(identityOf(path) ?? '')
    this.#written.set(ref.digest, ref)
  }

  /** @returns the path of a new file in the staging folder */
  #writePartial(fill: (write: (bytes: Uint8Array) => void) => void): string {
    const partial = join(this.#staging, `blob-${this.#serial++}`)
    const fd = openSync(partial, 'wx', READ_ONLY)
    try {
      fill((bytes) => writeAll(fd, bytes))
    } catch (error) {
      rmSync(partial, { force: true })
      throw error
    } finally {
      closeSync(fd)
    }
    return partial
  }
}

function placeAt(path: string, partial: string): void {
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
