/** The place of one source in the staging folder, for as long as its lock is held. */
import { constants } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { chmod, mkdir, open, rename, rm, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SOURCE_BOUNDS } from '../domain/source-identity.ts'
import { isSameTree, listTree, type TreeListing } from '../lib/file-tree.ts'
import type { LiveLock } from '../lib/live-lock.ts'
import { RECORD_FILE, readSourceRecord, type SourceRecord } from './source-record.ts'

/** A complete source where it lies. */
export interface FoundSource {
  readonly record: SourceRecord
  /** Absolute, without links. */
  readonly dir: string
  /** Whether the files still are the ones that were found; never rejects. */
  isUnchanged(): Promise<boolean>
}

const FILES = 'files'
const READ_ONLY = 0o444
/** Of a file that must not be there yet; a link at its name is not followed. */
const NEW_FILE = constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | constants.O_RDWR

export class StagingPlace {
  readonly #path: string
  readonly #lock: LiveLock
  readonly #onComplete: (bytes: number) => void

  constructor(path: string, lock: LiveLock, onComplete: (bytes: number) => void) {
    this.#path = path
    this.#lock = lock
    this.#onComplete = onComplete
  }

  /** The source, when it is here and whole. What is not is removed. */
  async find(): Promise<FoundSource | undefined> {
    const record = await readSourceRecord(this.#path)
    const dir = join(this.#path, FILES)
    const listing = record && (await listTree(dir, SOURCE_BOUNDS).catch(() => undefined))
    if (record === undefined || listing === undefined || !isRecorded(listing, record)) {
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

  /** Makes what was fetched the source: all of it at once, on the disk. */
  async complete(record: SourceRecord): Promise<void> {
    const part = this.#part
    const file = await open(join(part, RECORD_FILE), NEW_FILE, READ_ONLY)
    try {
      await file.writeFile(JSON.stringify(record))
      await file.sync()
    } finally {
      await file.close()
    }
    const folders = new Set(record.files.flatMap(({ path }) => parentsOf(path)))
    for (const folder of [...folders].map((path) => join(part, FILES, path))) await syncFolder(folder)
    await syncFolder(join(part, FILES))
    await syncFolder(part)
    await rename(part, this.#path)
    await syncFolder(dirname(this.#path))
    this.#onComplete(record.bytes)
  }

  /** The record goes first: without it the rest is no source. */
  async remove(): Promise<void> {
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

  get #part(): string {
    return `${this.#path}.part`
  }
}

/** A new file below `root`, whose path was checked; nothing that is there already is opened. */
export async function createFile(root: string, path: string): Promise<FileHandle> {
  await mkdir(dirname(join(root, path)), { recursive: true })
  return await open(join(root, path), NEW_FILE, 0o600)
}

/** The bytes are on the disk, and nobody writes them by mistake. */
export async function sealFile(path: string, file: FileHandle): Promise<void> {
  await file.sync()
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

function parentsOf(path: string): string[] {
  const parts = path.split('/').slice(0, -1)
  return parts.map((_, at) => parts.slice(0, at + 1).join('/'))
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
