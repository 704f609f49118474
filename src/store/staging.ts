/**
 * The folder of fetched sources, which several processes may share:
 *
 *   <sourceId>/source.json    what was fetched, written last
 *   <sourceId>/files/         the files of the version, read-only
 *   <sourceId>.part/          being fetched; becomes <sourceId>/ by rename when it is whole
 *   shared/<sha256>           a link to the file of a source that has these bytes (SharedFiles)
 *   <sourceId>.lock/          held by the process that fetches, uses or removes the source (LiveLock)
 *
 * Nothing of a source is written, removed or read by a process that does not hold its lock, so two never fetch the same one at once and
 * none removes what another uses. A source is kept after its use for the next one (a recompile after an upgrade, a check on the first
 * request), but it is the first to go: whatever is not in use is evicted, least recently used first, when the budget or the disk is short.
 */

import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { GatewayError } from '../domain/errors.ts'
import type { Removed } from '../domain/purge.ts'
import { formatByteSize } from '../lib/byte-size.ts'
import type { Clock } from '../lib/clock.ts'
import { LiveLock } from '../lib/live-lock.ts'
import { Semaphore } from '../lib/semaphore.ts'
import { SharedFiles } from './shared-files.ts'
import { RECORD_FILE, readSourceRecord, type SourceRecord } from './source-record.ts'
import { StagingPlace } from './staging-place.ts'

export interface StagingOptions {
  /** Created when missing. */
  readonly dir: string
  /** Sources together, those being fetched included. */
  readonly budgetBytes: number
  /** Disk space that is to stay free. */
  readonly minFreeBytes: number
  readonly clock: Clock
  readonly onEvent: (name: string, fields: Readonly<Record<string, string | number | boolean>>) => void
}

/** Bytes of a fetch that are not on the disk yet; the sum of all is kept free. */
export interface Reservation {
  wrote(bytes: number): void
  end(): void
}

/** Source ids become names of folders. */
const SOURCE_ID = /^[0-9a-f]{8,64}$/
const FREE_FACTOR = 1.1
/** Once over the budget, a little more than needed goes: the next fetches need not look again. */
const EVICT_TO = 0.9
const RETRY_MS = 5_000
/** Recursive mkdir calls a read-only file system a missing folder. */
const READ_ONLY: ReadonlySet<unknown> = new Set(['EROFS', 'EACCES', 'EPERM', 'ENOENT'])
/** Where the kernel says which run of the machine this is; where it does not, each process is a run of its own. */
const BOOT_ID = '/proc/sys/kernel/random/boot_id'
/** Younger, a lock's folder may be in the making. */
const RUBBISH_AGE_MS = 3_600_000

export class Staging {
  readonly shared: SharedFiles
  readonly #options: StagingOptions
  /** Bytes of the complete sources seen so far; the folder decides what exists. */
  readonly #bytes = new Map<string, number>()
  readonly #reserved = new Set<{ readonly bytes: number; left: number }>()
  #bootId: string | undefined
  /** One look for room at a time: two would count the same room twice. */
  readonly #looking = new Semaphore(1)

  constructor(options: StagingOptions) {
    this.#options = options
    this.shared = new SharedFiles(options.dir)
  }

  /**
   * Makes the folder and removes what processes that are gone left half done. Everything complete stays. A folder that cannot be
   * written to is left as it is: what is compiled needs no source.
   */
  async open(): Promise<void> {
    try {
      await mkdir(this.#options.dir, { recursive: true })
      await this.#sweep()
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && READ_ONLY.has(error.code))) throw error
    }
  }

  async #sweep(): Promise<void> {
    const { dir, clock } = this.#options
    for (const name of await readdir(dir)) {
      const [sourceId = '', rest] = splitName(name)
      if (rest === 'part') await this.#unlessHeld(sourceId, () => remove(join(dir, name)))
      // To take the lock of a process that is gone, and to release it, is to remove it.
      else if (rest === 'lock') await this.#unlessHeld(sourceId, () => Promise.resolve())
      else if (rest !== undefined && (await isOlder(join(dir, name), clock.wall() - RUBBISH_AGE_MS)))
        await remove(join(dir, name))
    }
  }

  /** Waits until no other process holds the source. @throws the signal's reason; errors of the file system */
  async take(sourceId: string, signal: AbortSignal): Promise<StagingPlace> {
    if (!SOURCE_ID.test(sourceId)) throw new Error(`'${sourceId}' is no source id`)
    const { dir } = this.#options
    await mkdir(dir, { recursive: true })
    const lock = await LiveLock.take(join(dir, `${sourceId}.lock`), signal)
    return await this.#place(sourceId, lock)
  }

  /**
   * Makes room for a fetch of so many bytes, evicting sources out of use.
   * @throws GatewayError CAPACITY_EXHAUSTED with the arithmetic
   */
  reserve(bytes: number): Promise<Reservation> {
    return this.#looking.use(async () => {
      const { dir, budgetBytes, minFreeBytes } = this.#options
      const fetching = [...this.#reserved]
      const used = (await this.#usedBytes()) + sum(fetching.map((one) => one.bytes))
      const over = used + bytes - budgetBytes
      if (over > 0) await this.#evict(over + budgetBytes * (1 - EVICT_TO), over)
      const unwritten = sum(fetching.map(({ left }) => left))
      const wantFree = Math.ceil((bytes + unwritten) * FREE_FACTOR) + minFreeBytes
      const missing = wantFree - (await freeBytes(dir))
      if (missing > 0) await this.#evict(missing, 0)
      const free = await freeBytes(dir)
      if (free < wantFree) throw noDisk(free, bytes, minFreeBytes)
      const reservation = { bytes, left: bytes }
      this.#reserved.add(reservation)
      return {
        wrote: (done) => {
          reservation.left = Math.max(0, reservation.left - done)
        },
        end: () => void this.#reserved.delete(reservation),
      }
    })
  }

  /** The disk is full though there seemed to be room: evicts sources out of use until so many bytes more are free. @returns how many */
  makeRoom(bytes: number): Promise<number> {
    return this.#looking.use(async () => {
      await this.#usedBytes()
      return await this.#evict(bytes, 0)
    })
  }

  /** Removes the sources that are chosen and that nobody holds. @returns those that went; nothing goes when `isDryRun` */
  async purge(isChosen: (record: SourceRecord) => boolean, isDryRun: boolean): Promise<Removed> {
    const { dir } = this.#options
    let [count, bytes] = [0, 0]
    for (const sourceId of (await readdir(dir).catch(() => [])).filter((name) => SOURCE_ID.test(name))) {
      const record = await readSourceRecord(join(dir, sourceId))
      if (record === undefined || !isChosen(record)) continue
      if (!isDryRun && !(await this.#unlessHeld(sourceId, (place) => place.remove()))) continue
      count++
      bytes += record.bytes
    }
    return { count, bytes }
  }

  /** Bytes of the complete sources. @throws errors of the file system */
  usedBytes(): Promise<number> {
    return this.#looking.use(() => this.#usedBytes())
  }

  async #usedBytes(): Promise<number> {
    const { dir } = this.#options
    const names = new Set((await readdir(dir)).filter((name) => SOURCE_ID.test(name)))
    for (const sourceId of this.#bytes.keys()) if (!names.has(sourceId)) this.#bytes.delete(sourceId)
    for (const sourceId of names) {
      if (this.#bytes.has(sourceId)) continue
      const record = await readSourceRecord(join(dir, sourceId))
      if (record !== undefined) this.#bytes.set(sourceId, record.bytes)
    }
    return sum([...this.#bytes.values()])
  }

  /** Removes `wanted` bytes of sources out of use, as far as there are so many. @throws GatewayError when they are fewer than `needed` */
  async #evict(wanted: number, needed: number): Promise<number> {
    const { dir, onEvent, budgetBytes } = this.#options
    const known: Array<{ readonly sourceId: string; readonly bytes: number; readonly usedAt: number }> = []
    for (const [sourceId, bytes] of this.#bytes) {
      const facts = await stat(join(dir, sourceId, RECORD_FILE)).catch(() => undefined)
      known.push({ sourceId, bytes, usedAt: facts?.mtimeMs ?? 0 })
    }
    known.sort((a, b) => a.usedAt - b.usedAt)
    let evicted = 0
    let sources = 0
    for (const { sourceId, bytes } of known) {
      if (evicted >= wanted) break
      if (!(await this.#unlessHeld(sourceId, (place) => place.remove()))) continue
      this.#bytes.delete(sourceId)
      evicted += bytes
      sources++
    }
    if (sources > 0) onEvent('sources.evicted', { sources, bytes: evicted })
    if (evicted < needed) throw overBudget(needed - evicted, budgetBytes)
    return evicted
  }

  async #place(sourceId: string, lock: LiveLock): Promise<StagingPlace> {
    this.#bootId ??= (await readFile(BOOT_ID, 'utf8').catch(() => randomUUID())).trim()
    const onComplete = (bytes: number): void => void this.#bytes.set(sourceId, bytes)
    const { shared } = this
    return new StagingPlace({ path: join(this.#options.dir, sourceId), lock, bootId: this.#bootId, shared, onComplete })
  }

  /** @returns whether nobody held it, and it was done */
  async #unlessHeld(sourceId: string, task: (place: StagingPlace) => Promise<unknown>): Promise<boolean> {
    const { dir } = this.#options
    const lock = await LiveLock.tryTake(join(dir, `${sourceId}.lock`))
    if (lock === undefined) return false
    try {
      await task(await this.#place(sourceId, lock))
      return true
    } finally {
      await lock.release()
    }
  }
}

function overBudget(missing: number, budgetBytes: number): GatewayError {
  return new GatewayError(
    'CAPACITY_EXHAUSTED',
    `the model files to fetch are ${formatByteSize(missing)} more than the ${formatByteSize(budgetBytes)} that fetched files may take leave beside those in use`,
    { retryAfterMs: RETRY_MS, details: { missingBytes: missing, budgetBytes } },
  )
}

function noDisk(free: number, bytes: number, minFreeBytes: number): GatewayError {
  return new GatewayError(
    'CAPACITY_EXHAUSTED',
    `the disk of the cache folder has ${formatByteSize(free)} free; the model files to fetch take ${formatByteSize(bytes)}, and ${formatByteSize(minFreeBytes)} are to stay free`,
    { retryAfterMs: RETRY_MS, details: { freeBytes: free, needBytes: bytes, minFreeBytes } },
  )
}

function splitName(name: string): string[] {
  const dot = name.indexOf('.')
  return dot === -1 ? [name] : [name.slice(0, dot), name.slice(dot + 1)]
}

async function freeBytes(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir)
  return bavail * bsize
}

async function isOlder(path: string, than: number): Promise<boolean> {
  const facts = await stat(path).catch(() => undefined)
  return facts !== undefined && facts.ctimeMs < than
}

function remove(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true })
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
