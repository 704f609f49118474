/** Unpacks a fetched `.tar.gz` into a folder that is empty and nobody else's. What the archive says of sizes is not believed. */
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { formatByteSize } from '../lib/byte-size.ts'
import type { DigestThread } from './digest-thread.ts'
import { PathSet } from './file-paths.ts'
import type { FetchedFile } from './source-record.ts'
import { createFile, sealFile } from './staging-place.ts'
import { ArchiveError, readTar, type TarEntry } from './tar-reader.ts'

/** Bytes out of a byte of the archive, at most: models are numbers, which no archiver makes a hundred times smaller. */
const MAX_RATIO = 100
/** What a small archive may unpack to all the same. */
const FREE_BYTES = 2 ** 20

/**
 * `dir` is empty; what is there afterwards is on the disk, and read-only. Names that begin with a dot are left out: they are what
 * archivers of some systems add.
 * @throws ArchiveError, errors of the file system, the signal's reason
 */
export async function unpack(
  archive: { readonly path: string; readonly bytes: number },
  dir: string,
  { digests, maxBytes }: { readonly digests: DigestThread; readonly maxBytes: number },
  signal: AbortSignal,
): Promise<FetchedFile[]> {
  const limitBytes = Math.min(maxBytes, Math.max(FREE_BYTES, archive.bytes * MAX_RATIO))
  const files: FetchedFile[] = []
  const paths = new PathSet()
  for await (const entry of readTar(unzipped(archive.path, limitBytes, signal))) {
    const path = entry.path.replace(/^(\.\/+)+/, '').replace(/\/+$/, '')
    if (path === '' || path === '.') continue
    if (isHidden(path)) {
      for await (const chunk of entry.content) void chunk
      continue
    }
    const problem = entry.kind === 'file' ? paths.addFile(path) : paths.addFolder(path)
    if (problem !== undefined) throw new ArchiveError(problem)
    if (entry.kind === 'file') files.push(await write(entry, dir, path, digests))
  }
  return files.toSorted((a, b) => (a.path < b.path ? -1 : 1))
}

async function write(entry: TarEntry, dir: string, path: string, digests: DigestThread): Promise<FetchedFile> {
  const file = await createFile(dir, path)
  try {
    let bytes = 0
    for await (const chunk of entry.content) {
      await file.writeFile(chunk)
      bytes += chunk.length
    }
    const { sha256 } = await digests.begin(join(dir, path), bytes, undefined).end(bytes)
    await sealFile(join(dir, path), file)
    return { path, bytes, sha256 }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Counted as it comes out: a bomb ends at the limit, wherever its headers put that. */
async function* unzipped(
  path: string,
  limitBytes: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const compressed = createReadStream(path)
  const gunzip: Readable = compressed.pipe(createGunzip())
  compressed.on('error', (error) => gunzip.destroy(error))
  let bytes = 0
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) {
      signal.throwIfAborted()
      bytes += chunk.length
      if (bytes > limitBytes) throw new ArchiveError(`it unpacks to more than ${formatByteSize(limitBytes)}`)
      yield chunk
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_'))
      throw new ArchiveError('it is no gzip file, or damaged', { isDamaged: true, cause: error })
    throw error
  } finally {
    compressed.destroy()
    gunzip.destroy()
  }
}

function isHidden(path: string): boolean {
  return path.split('/').some((name) => name.startsWith('.') && name !== '.' && name !== '..')
}
