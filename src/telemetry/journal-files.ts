/**
 * The journal's files: lines of JSON in a folder, appended to the newest file, the oldest files deleted when all together would
 * pass the bound. A file is named for the number of its first record, so that names sort by age and nothing is ever renamed.
 *
 *   journal/000000000001.jsonl  journal/000000000874.jsonl  <- appended to
 */
import type { FileHandle } from 'node:fs/promises'
import { mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { JournalRecord } from './journal-record.ts'
import { parseRecord } from './journal-record.ts'

/** Of the bound, what one file may take: the oldest quarter is what is lost at a time. */
const FILES = 4
/** Names of the journal's files. */
export const JOURNAL_FILE = /^\d{12}\.jsonl$/

interface KnownFile {
  readonly name: string
  bytes: number
}

export class JournalFiles {
  readonly #dir: string
  readonly #maxBytes: number
  /** Oldest first. */
  readonly #files: KnownFile[]
  #handle: FileHandle | undefined
  /** The newest file may end in the middle of a line. */
  #isTorn = true

  private constructor(dir: string, maxBytes: number, files: KnownFile[]) {
    this.#dir = dir
    this.#maxBytes = maxBytes
    this.#files = files
  }

  /** Makes the folder, and reads the last `limit` records; lines that a kill or a full disk cut off are passed over. */
  static async open(
    dir: string,
    maxBytes: number,
    limit: number,
  ): Promise<{ files: JournalFiles; records: JournalRecord[] }> {
    await mkdir(dir, { recursive: true })
    const names = (await readdir(dir)).filter((name) => JOURNAL_FILE.test(name)).sort()
    const known = await Promise.all(names.map(async (name) => ({ name, bytes: (await stat(join(dir, name))).size })))
    let records: JournalRecord[] = []
    for (const name of names.toReversed()) {
      if (records.length >= limit) break
      const text = await readFile(join(dir, name), 'utf8')
      const lines = text.split('\n').slice(-(limit + 1))
      records = [...lines.flatMap((line) => parseRecord(line) ?? []), ...records].slice(-limit)
    }
    return { files: new JournalFiles(dir, maxBytes, known), records }
  }

  /**
   * Appends whole lines, of which the first has the number `firstSeq`. One call at a time.
   * @throws what the file system throws; some of the lines may be written then, the last of them in part
   */
  async append(lines: string, firstSeq: number): Promise<void> {
    const bytes = Buffer.byteLength(lines)
    try {
      const file = await this.#fileFor(bytes, firstSeq)
      // A line break of its own ends what a kill or a full disk cut off.
      const text = this.#isTorn && file.bytes > 0 ? `\n${lines}` : lines
      this.#isTorn = true
      await this.#handle?.appendFile(text)
      this.#isTorn = false
      file.bytes += Buffer.byteLength(text)
    } catch (error) {
      await this.close().catch(() => undefined)
      throw error
    }
  }

  async close(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    await handle?.close()
  }

  /** The file to append so many bytes to, with its handle open. */
  async #fileFor(bytes: number, firstSeq: number): Promise<KnownFile> {
    const newest = this.#files.at(-1)
    if (newest !== undefined && newest.bytes + bytes <= this.#maxBytes / FILES) {
      this.#handle ??= await open(join(this.#dir, newest.name), 'a')
      return newest
    }
    await this.close()
    await this.#makeRoom(bytes)
    const file = { name: `${String(firstSeq).padStart(12, '0')}.jsonl`, bytes: 0 }
    this.#handle = await open(join(this.#dir, file.name), 'a')
    this.#files.push(file)
    this.#isTorn = false
    return file
  }

  async #makeRoom(bytes: number): Promise<void> {
    let sum = this.#files.reduce((total, file) => total + file.bytes, bytes)
    for (let oldest = this.#files[0]; oldest !== undefined && sum > this.#maxBytes; oldest = this.#files[0]) {
      await rm(join(this.#dir, oldest.name), { force: true })
      this.#files.shift()
      sum -= oldest.bytes
    }
  }
}
