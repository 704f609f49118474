/**
 * The place of one source in the staging folder, for as long as its lock is held. Nothing is synced to the disk, which would keep a
 * cold model waiting for it: a killed process loses nothing, and what was fetched before the machine last started is held against its
 * digests once before it is used.
 */
import { constants } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { chmod, mkdir, open, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SOURCE_BOUNDS } from '../domain/source-identity.ts'
import { isSameTree, listTree, type TreeListing } from '../lib/file-tree.ts'
import type { LiveLock } from '../lib/live-lock.ts'
import type { DigestThread } from './digest-thread.ts'
import type { SharedFiles } from './shared-files.ts'
import { FILES, PART, RECORD_FILE, readSourceRecord, type SourceRecord } from './source-record.ts'

/** A complete source where it lies. */
export interface FoundSource {
  readonly record: SourceRecord
  /** Absolute, without links. */
  readonly dir: string
  /** Whether the files still are the ones that were found; never rejects. */
  isUnchanged(): Promise<boolean>
}

export interface PlaceParts {
  /** Of the source's folder, absolute. */
  readonly path: string
  readonly lock: LiveLock
  /** Of the machine's run. */
  readonly bootId: string
  readonly shared: SharedFiles
  readonly onComplete: (bytes: number) => void
}

export const READ_ONLY = 0o444
/** Of a file that must not be there yet; a link at its name is not followed. */
const NEW_FILE = constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | constants.O_RDWR

export class StagingPlace {
  readonly #path: string
  readonly #lock: LiveLock
  readonly #bootId: string
  readonly #shared: SharedFiles
  readonly #onComplete: (bytes: number) => void

  constructor({ path, lock, bootId, shared, onComplete }: PlaceParts) {
    this.#path = path
    this.#lock = lock
    this.#bootId = bootId
    this.#shared = shared
    this.#onComplete = onComplete
  }

  /** The source, when it is here and whole. What is not is removed. */
  async find(digests: DigestThread): Promise<FoundSource | undefined> {
    const record = await readSourceRecord(this.#path)
    const dir = join(this.#path, FILES)
    const listing = record && (await listTree(dir, SOURCE_BOUNDS).catch(() => undefined))
    const isWhole =
      record !== undefined &&
      listing !== undefined &&
      isRecorded(listing, record) &&
      (record.bootId === this.#bootId || (await this.#isIntact(record, digests)))
    if (!isWhole) {
      await this.remove()
      return undefined
    }
    this.#onComplete(record.bytes)
    return { record, dir: listing.realPath, isUnchanged: () => isStill(listing, dir) }
  }

  /** An empty folder to fetch into. */
  async begin(): Promise<string> {
    const part = this.#part
    await rm(part, { recursive: true, force: true })
    await mkdir(join(part, FILES), { recursive: true })
    return join(part, FILES)
  }

  /** Makes what was fetched the source: all of it at once. */
  async complete(record: Omit<SourceRecord, 'format' | 'bootId'>): Promise<void> {
    await this.#write(record, this.#part)
    await rename(this.#part, this.#path)
    this.#onComplete(record.bytes)
  }

  /** The record goes first: without it the rest is no source. */
  async remove(): Promise<void> {
    const record = await readSourceRecord(this.#path)
    await this.#shared.forgetWithin(join(this.#path, FILES), record?.files ?? [])
    await rm(join(this.#path, RECORD_FILE), { force: true })
    await rm(this.#path, { recursive: true, force: true })
  }

  async discard(): Promise<void> {
    await rm(this.#part, { recursive: true, force: true })
  }

  /** Ends the use of the source. `now`: wall time, by which the least recently used is told. */
  async release(now: number): Promise<void> {
    await utimes(join(this.#path, RECORD_FILE), now / 1000, now / 1000).catch(() => {})
    await this.#lock.release()
  }

  /** Reads everything, once after the machine started. */
  async #isIntact(record: SourceRecord, digests: DigestThread): Promise<boolean> {
    for (const { path, bytes, sha256 } of record.files) {
      const actual = await digests.begin(join(this.#path, FILES, path), bytes, undefined).end(bytes)
      if (actual.sha256 !== sha256) return false
    }
    await this.#write(record, this.#path)
    return true
  }

  async #write(record: Omit<SourceRecord, 'format' | 'bootId'>, folder: string): Promise<void> {
    const written: SourceRecord = { ...record, format: 1, bootId: this.#bootId }
    const partial = join(folder, `${RECORD_FILE}.part`)
    await writeFile(partial, JSON.stringify(written), { mode: READ_ONLY })
    await rename(partial, join(folder, RECORD_FILE))
  }

  get #part(): string {
    return `${this.#path}${PART}`
  }
}

/** A new file below `root`, whose path was checked; nothing that is there already is opened. */
export async function createFile(root: string, path: string): Promise<FileHandle> {
  await mkdir(dirname(join(root, path)), { recursive: true })
  return await open(join(root, path), NEW_FILE, 0o600)
}

/** Nobody writes it by mistake from here on. */
export async function sealFile(path: string, file: FileHandle): Promise<void> {
  await file.close()
  await chmod(path, READ_ONLY)
}

function isRecorded({ files, problem }: TreeListing, record: SourceRecord): boolean {
  return (
    problem === undefined &&
    files.length === record.files.length &&
    files.every(({ path, bytes }, at) => record.files[at]?.path === path && record.files[at].bytes === bytes)
  )
}

async function isStill(listing: TreeListing, dir: string): Promise<boolean> {
  try {
    return isSameTree(listing, await listTree(dir, SOURCE_BOUNDS))
  } catch {
    return false
  }
}
