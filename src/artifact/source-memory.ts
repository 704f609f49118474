/**
 * Which source bytes a source id stood for: an append-only file, so that a restart digests nothing again. Losing lines costs a digest,
 * never an answer: ids name immutable bytes.
 */
import type { FileHandle } from 'node:fs/promises'
import { open, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDigest, sourcesFile, stagingFolder } from './layout.ts'

export class SourceMemory {
  readonly #digests: Map<string, string>
  /** Undefined where nothing can be written: then only this process remembers. */
  readonly #file: FileHandle | undefined
  #writing: Promise<unknown> = Promise.resolve()

  private constructor(digests: Map<string, string>, file: FileHandle | undefined) {
    this.#digests = digests
    this.#file = file
  }

  /** Reads the file and, unless `isReadOnly`, compacts it: ids whose digest `isKnown` denies are forgotten. */
  static async open(cache: string, isKnown: (digest: string) => boolean, isReadOnly = false): Promise<SourceMemory> {
    const path = join(cache, sourcesFile)
    const text = await readFile(path, 'utf8').catch(() => '')
    const digests = new Map<string, string>()
    let lines = 0
    for (const line of text.split('\n')) {
      lines++
      const [id, digest] = parseLine(line)
      if (id !== undefined && digest !== undefined && isKnown(digest)) digests.set(id, digest)
    }
    if (isReadOnly) return new SourceMemory(digests, undefined)
    // Half the file stale is worth a rewrite; a torn last line always is, or the next would be glued to it.
    if (lines > 2 * digests.size + 1 || (text !== '' && !text.endsWith('\n'))) {
      const partial = join(cache, stagingFolder, `${sourcesFile}-${process.pid}`)
      await writeFile(partial, [...digests].map(([id, digest]) => lineOf(id, digest)).join(''))
      await rename(partial, path)
    }
    return new SourceMemory(digests, await open(path, 'a'))
  }

  digestOf(sourceId: string): string | undefined {
    return this.#digests.get(sourceId)
  }

  get size(): number {
    return this.#digests.size
  }

  /** Known at once; on disk soon. A disk that refuses costs the next start a digest. */
  remember(sourceId: string, digest: string): void {
    if (this.#digests.get(sourceId) === digest) return
    this.#digests.set(sourceId, digest)
    const file = this.#file
    if (file === undefined) return
    this.#writing = this.#writing.then(() => file.appendFile(lineOf(sourceId, digest))).catch(() => {})
  }

  async close(): Promise<void> {
    await this.#writing
    await this.#file?.close()
  }
}

function lineOf(id: string, digest: string): string {
  return `${JSON.stringify([id, digest])}\n`
}

function parseLine(line: string): [string, string] | [] {
  try {
    const value: unknown = JSON.parse(line)
    if (!Array.isArray(value)) return []
    const [id, digest] = value as readonly unknown[]
    return typeof id === 'string' && typeof digest === 'string' && isDigest(digest) ? [id, digest] : []
  } catch {
    return []
  }
}
