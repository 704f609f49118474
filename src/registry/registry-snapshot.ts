/**
 * What a remote registry knew, on local disk: a restart serves what is compiled here although nobody answers. One line of JSON per model
 * between a head and an end, replaced in one step; the file's own time says when it was last true.
 */
import { createReadStream } from 'node:fs'
import { mkdir, open, rename, rm, stat, utimes } from 'node:fs/promises'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import type { Clock } from '../lib/clock.ts'
import { isGone } from '../lib/file-tree.ts'
import type { RemoteRecord } from './remote-model.ts'

const FORMAT = 1
const LINES_PER_WRITE = 200

export interface SnapshotOptions {
  /** Its folder is created when it is missing. */
  readonly path: string
  /** Which registry it is of: another one's is not used. */
  readonly origin: string
  readonly clock: Clock
}

/** `F`: what is known of the files of a version. */
export class RegistrySnapshot<F> {
  readonly #options: SnapshotOptions

  constructor(options: SnapshotOptions) {
    this.#options = options
  }

  /** Writes all records; @throws errors of the file system */
  async save(records: Iterable<RemoteRecord<F>>): Promise<void> {
    const { path, origin } = this.#options
    const partial = `${path}.${process.pid}.part`
    await mkdir(dirname(path), { recursive: true })
    const file = await open(partial, 'w', 0o600)
    try {
      let lines = [JSON.stringify({ format: FORMAT, origin })]
      let count = 0
      for (const record of records) {
        lines.push(JSON.stringify(record))
        count++
        if (lines.length < LINES_PER_WRITE) continue
        await file.write(`${lines.join('\n')}\n`)
        lines = []
      }
      lines.push(JSON.stringify({ end: count }))
      await file.write(`${lines.join('\n')}\n`)
      await file.sync()
      await file.close()
      await rename(partial, path)
    } catch (error) {
      await file.close().catch(() => undefined)
      await rm(partial, { force: true })
      throw error
    }
  }

  /** What was saved last is still true. @throws errors of the file system */
  async confirm(): Promise<void> {
    const now = this.#options.clock.wall() / 1000
    await utimes(this.#options.path, now, now)
  }

  /**
   * The records of the last save and how long ago they were true, in milliseconds; undefined when there are none, of this registry and
   * whole. @throws errors of the file system other than "there is none"
   */
  async load(): Promise<{ readonly records: readonly RemoteRecord<F>[]; readonly ageMs: number } | undefined> {
    const { path, origin, clock } = this.#options
    try {
      const { mtimeMs } = await stat(path)
      const records: RemoteRecord<F>[] = []
      let isOurs = false
      let end: number | undefined
      for await (const line of createInterface({
        input: createReadStream(path),
        crlfDelay: Number.POSITIVE_INFINITY,
      })) {
        const value = JSON.parse(line) as Partial<RemoteRecord<F>> & { format?: number; origin?: string; end?: number }
        if (value.format !== undefined) {
          isOurs = value.format === FORMAT && value.origin === origin
          if (!isOurs) return undefined
        } else if (value.end !== undefined) end = value.end
        else if (value.report !== undefined && value.files !== undefined)
          records.push({ report: value.report, files: value.files })
      }
      if (!isOurs || end !== records.length) return undefined
      return { records, ageMs: Math.max(0, clock.wall() - mtimeMs) }
    } catch (error) {
      if (isGone(error) || error instanceof SyntaxError) return undefined
      throw error
    }
  }
}
