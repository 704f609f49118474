/**
 * Which source bytes a source id stood for, and whose they were: an append-only file, so that a restart digests nothing again and a
 * purge knows what is a model's. Losing lines costs a digest, never an answer: ids name immutable bytes.
 */
import type { FileHandle } from 'node:fs/promises'
import { open, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDigest, sourcesFile, stagingFolder } from './layout.ts'

export interface RememberedSource {
  readonly id: string
  readonly digest: string
  /** Of the model; '' where an older version of this program wrote the line. */
  readonly name: string
}

export class SourceMemory {
  readonly #sources: Map<string, RememberedSource>
  /** Undefined where nothing can be written: then only this process remembers. */
  readonly #file: FileHandle | undefined
  #writing: Promise<unknown> = Promise.resolve()

  private constructor(sources: Map<string, RememberedSource>, file: FileHandle | undefined) {
    this.#sources = sources
    this.#file = file
  }

  /** Reads the file and, unless `isReadOnly`, compacts it: ids whose digest `isKnown` denies are forgotten. */
  static async open(cache: string, isKnown: (digest: string) => boolean, isReadOnly = false): Promise<SourceMemory> {
    const path = join(cache, sourcesFile)
    const text = await readFile(path, 'utf8').catch(() => '')
    const all = parseSources(text)
    const known = new Map(all.filter(({ digest }) => isKnown(digest)).map((source) => [source.id, source]))
    if (isReadOnly) return new SourceMemory(known, undefined)
    // Half the file stale is worth a rewrite; a torn last line always is, or the next would be glued to it.
    if (text.split('\n').length > 2 * known.size + 1 || (text !== '' && !text.endsWith('\n')))
      await writeSources(cache, [...known.values()])
    return new SourceMemory(known, await open(path, 'a'))
  }

  digestOf(sourceId: string): string | undefined {
    return this.#sources.get(sourceId)?.digest
  }

  get size(): number {
    return this.#sources.size
  }

  /** Known at once; on disk soon. A disk that refuses costs the next start a digest. */
  remember(source: RememberedSource): void {
    const known = this.#sources.get(source.id)
    if (known?.digest === source.digest && known.name === source.name) return
    this.#sources.set(source.id, source)
    const file = this.#file
    if (file === undefined) return
    this.#writing = this.#writing.then(() => file.appendFile(lineOf(source))).catch(() => {})
  }

  async close(): Promise<void> {
    await this.#writing
    await this.#file?.close()
  }
}

/** What the file of a cache folder says, later lines over earlier ones; torn lines are passed over. */
export function parseSources(text: string): RememberedSource[] {
  const sources = new Map<string, RememberedSource>()
  for (const line of text.split('\n')) {
    const source = parseLine(line)
    if (source !== undefined) sources.set(source.id, source)
  }
  return [...sources.values()]
}

/** Replaces the file in one step. */
export async function writeSources(cache: string, sources: readonly RememberedSource[]): Promise<void> {
  const partial = join(cache, stagingFolder, `${sourcesFile}-${process.pid}`)
  await writeFile(partial, sources.map(lineOf).join(''))
  await rename(partial, join(cache, sourcesFile))
}

function lineOf({ id, digest, name }: RememberedSource): string {
  return `${JSON.stringify([id, digest, name])}\n`
}

function parseLine(line: string): RememberedSource | undefined {
  try {
    const value: unknown = JSON.parse(line)
    if (!Array.isArray(value)) return undefined
    const [id, digest, name = ''] = value as readonly unknown[]
    if (typeof id !== 'string' || typeof digest !== 'string' || typeof name !== 'string') return undefined
    return isDigest(digest) ? { id, digest, name } : undefined
  } catch {
    return undefined
  }
}
