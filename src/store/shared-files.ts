/**
 * Which source here has the bytes of a shared file. `<staging>/shared/<sha256>` is a link to the file in the source that fetched it; one
 * that leads nowhere is no use and does no harm. A source gets a copy of its own (a reflink where the file system has them): a file with
 * two names could be any file of this machine, and links are what sources must not have.
 */
import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { copyFile, mkdir, readlink, rename, rm, symlink } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { isGone } from '../lib/file-tree.ts'
import { waitFor } from '../lib/wait-for.ts'
import { type FetchedFile, FILES, PART } from './source-record.ts'

const FOLDER = 'shared'
/** What a source's folder is called when it is fetched, and before. */
const FINISHED = `/${FILES}/`
const UNFINISHED = `${PART}/${FILES}/`
const COPY = constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE

export class SharedFiles {
  readonly #dir: string
  readonly #flights = new Map<string, Promise<unknown>>()

  /** `staging`: the folder of sources. Its subfolder of links is made when it is first needed. */
  constructor(staging: string) {
    this.#dir = join(staging, FOLDER)
  }

  /** Runs one task at a time for a digest, so that many sources that want it at once fetch it once. @throws the signal's reason */
  async inTurn<T>(sha256: string, task: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (let current = this.#flights.get(sha256); current !== undefined; current = this.#flights.get(sha256))
      await waitFor(current, signal)
    const flight = task()
    const settled = flight.then(ignore, ignore).finally(() => this.#flights.delete(sha256))
    this.#flights.set(sha256, settled)
    return await flight
  }

  /** Copies the bytes to a new file. They are not held against the digest. @returns false when no source has them */
  async copy(sha256: string, path: string): Promise<boolean> {
    const link = join(this.#dir, sha256)
    const target = await readlink(link).catch(ignore)
    const part = target === undefined ? [] : [join(this.#dir, target.replace(FINISHED, UNFINISHED))]
    // Again, because the source may have been finished between the first look and the second.
    for (const from of [link, ...part, link]) if (await isCopied(from, path)) return true
    await this.forget(sha256)
    return false
  }

  /**
   * This file, of a source that is being fetched, has the bytes. Without a link they are only fetched once more, so that it cannot be
   * written is nobody's trouble.
   */
  async note(sha256: string, path: string): Promise<void> {
    const partial = join(this.#dir, `${randomUUID()}.part`)
    try {
      await mkdir(this.#dir, { recursive: true })
      await symlink(relative(this.#dir, path).replace(UNFINISHED, FINISHED), partial)
      await rename(partial, join(this.#dir, sha256))
    } catch {
      await rm(partial, { force: true }).catch(ignore)
    }
  }

  async forget(sha256: string): Promise<void> {
    await rm(join(this.#dir, sha256), { force: true }).catch(ignore)
  }

  /** The source is about to go: forgets which of its files were the ones to copy. `dir`: of its files. */
  async forgetWithin(dir: string, files: readonly FetchedFile[]): Promise<void> {
    for (const { path, sha256 } of files) {
      const target = await readlink(join(this.#dir, sha256)).catch(ignore)
      if (target !== undefined && join(this.#dir, target) === join(dir, path)) await this.forget(sha256)
    }
  }
}

async function isCopied(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to, COPY)
    return true
  } catch (error) {
    if (!isGone(error)) throw error
    return false
  }
}

function ignore(): undefined {
  return undefined
}
