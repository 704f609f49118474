/**
 * Quarantined ModelKeys on disk: one readable JSON file each, in `quarantine/` of the cache folder. The file is the quarantine: who
 * removes it releases the key. What cannot be read is left where it is, said, and refuses nothing.
 */
import { hash } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { killPoint } from '../child/kill-points.ts'
import { printable } from '../domain/model-ref.ts'
import type { QuarantineRecord, Strike } from '../domain/quarantine.ts'
import { quarantineFolder, stagingFolder } from './layout.ts'

export interface QuarantineFolderOptions {
  /** The cache folder. */
  readonly cache: string
  /** A file that is not a record. */
  readonly onUnreadable: (file: string, error: unknown) => void
}

/** The file's form, which is also how a person reads it. */
interface RecordFile {
  readonly format: 1
  readonly model: string
  readonly version: string
  readonly since: string
  readonly code: QuarantineRecord['code']
  readonly reason: string
  readonly release: string
  readonly strikes: readonly (Omit<Strike, 'at'> & { readonly at: string })[]
  readonly conditions: string
  readonly key: string
}

const FORMAT = 1
const NAME_DIGITS = 32
const NAME = /^[0-9a-f]{32}\.json$/
const MAX_FILE_BYTES = 1_000_000
const HOW_TO_RELEASE = 'remove this file; the server notices within a second or two'

let serial = 0

export class QuarantineFolder {
  readonly #cache: string
  readonly #onUnreadable: QuarantineFolderOptions['onUnreadable']

  constructor({ cache, onUnreadable }: QuarantineFolderOptions) {
    this.#cache = cache
    this.#onUnreadable = onUnreadable
  }

  /** The file of a key, relative to the cache folder. */
  fileOf(key: string): string {
    return `${quarantineFolder}/${nameOf(key)}`
  }

  /** What is on disk. Never throws: a start does not depend on it. */
  async read(): Promise<QuarantineRecord[]> {
    const names = await readdir(join(this.#cache, quarantineFolder)).catch(() => [])
    const records: QuarantineRecord[] = []
    for (const name of names) {
      if (!NAME.test(name)) continue
      try {
        records.push(await this.#readFile(name))
      } catch (error) {
        this.#onUnreadable(`${quarantineFolder}/${name}`, error)
      }
    }
    return records
  }

  /** Appears whole or not at all, and stays when the machine loses power. */
  async write(record: QuarantineRecord): Promise<void> {
    const staging = join(this.#cache, stagingFolder)
    const folder = join(this.#cache, quarantineFolder)
    await mkdir(staging, { recursive: true })
    await mkdir(folder, { recursive: true })
    const partial = join(staging, `${nameOf(record.key)}-${process.pid}-${++serial}`)
    try {
      await writeThrough(partial, textOf(record))
      killPoint('quarantine')
      await rename(partial, join(folder, nameOf(record.key)))
      await syncFolder(folder)
    } catch (error) {
      await rm(partial, { force: true }).catch(() => {})
      throw error
    }
    killPoint('quarantine')
  }

  async remove(key: string): Promise<void> {
    await rm(join(this.#cache, this.fileOf(key)), { force: true })
  }

  /** Of these keys, those whose file is there; undefined when the cache folder itself cannot be looked at. */
  async present(keys: Iterable<string>): Promise<ReadonlySet<string> | undefined> {
    const names = await this.#names()
    if (names === undefined) return undefined
    const present = new Set<string>()
    for (const key of keys) if (names.has(nameOf(key))) present.add(key)
    return present
  }

  async #names(): Promise<ReadonlySet<string> | undefined> {
    try {
      return new Set(await readdir(join(this.#cache, quarantineFolder)))
    } catch (error) {
      // A folder that was removed whole releases all; a disk that went away releases nobody.
      const isGone = (error as NodeJS.ErrnoException).code === 'ENOENT'
      const isCacheThere = isGone && (await stat(join(this.#cache, stagingFolder)).catch(() => undefined)) !== undefined
      return isCacheThere ? new Set() : undefined
    }
  }

  async #readFile(name: string): Promise<QuarantineRecord> {
    const path = join(this.#cache, quarantineFolder, name)
    const info = await stat(path)
    // A pipe would be waited for, and a device has no end.
    if (!info.isFile()) throw new Error('it is no regular file')
    if (info.size > MAX_FILE_BYTES) throw new Error(`it has more than ${MAX_FILE_BYTES} bytes`)
    const record = parse(await readFile(path, 'utf8'))
    if (nameOf(record.key) !== name) throw new Error(`it is the record of another key, ${printable(record.key)}`)
    return record
  }
}

/** Keys hold slashes and whatever else names may have; files are named by their digest. */
function nameOf(key: string): string {
  return `${hash('sha256', key, 'hex').slice(0, NAME_DIGITS)}.json`
}

function textOf({ key, model, version, since, code, message, conditions, strikes }: QuarantineRecord): string {
  const file: RecordFile = {
    format: FORMAT,
    model,
    version,
    since: new Date(since).toISOString(),
    code,
    reason: message,
    release: HOW_TO_RELEASE,
    strikes: strikes.map((strike) => ({ ...strike, at: new Date(strike.at).toISOString() })),
    conditions,
    key,
  }
  return `${JSON.stringify(file, undefined, 2)}\n`
}

/** @throws Error saying what is wrong with it */
function parse(text: string): QuarantineRecord {
  const file = JSON.parse(text) as Partial<RecordFile> | null
  if (file === null || typeof file !== 'object') throw new Error('it is not an object')
  const { format, key, model, version, since, code, reason, conditions, strikes = [] } = file
  if (format !== FORMAT)
    throw new Error(`its format is ${printable(JSON.stringify(format) ?? 'missing')}, expected ${FORMAT}`)
  if (code !== 'MODEL_QUARANTINED' && code !== 'ARTIFACT_INVALID') throw new Error('its code is none of a quarantine')
  for (const [name, value] of Object.entries({ key, model, version, since, reason, conditions }))
    if (typeof value !== 'string') throw new Error(`its ${name} is missing or no text`)
  const at = wallOf(since)
  return {
    key: String(key),
    model: String(model),
    version: String(version),
    since: at,
    code,
    message: String(reason),
    conditions: String(conditions),
    strikes: strikes.map((strike) => ({ ...strike, at: wallOf(strike.at) })),
  }
}

function wallOf(text: unknown): number {
  const at = Date.parse(String(text))
  if (Number.isNaN(at)) throw new Error(`${printable(JSON.stringify(text) ?? 'nothing')} is no date`)
  return at
}

async function writeThrough(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx')
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** A rename is on disk once its folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
