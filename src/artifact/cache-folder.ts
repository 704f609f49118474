/** Opening a cache folder: its subfolders, what lies in it, and sweeping out what a killed process left. */
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Manifest } from '../domain/artifact.ts'
import { BLOB_PREFIXES, blobPath, blobsFolder, isDigest, parseEntry, stagingFolder } from './layout.ts'
import { readManifest } from './manifest.ts'

/** Files read at a time: the thread pool has four threads, and every one more only queues. */
const CONCURRENCY = 8

/** Makes the folders and empties staging: nothing there survives its process. */
export async function prepareFolder(cache: string): Promise<void> {
  await mkdir(join(cache, blobsFolder), { recursive: true })
  await rm(join(cache, stagingFolder), { recursive: true, force: true })
  await mkdir(join(cache, stagingFolder))
  await inParallel(BLOB_PREFIXES, (prefix) => mkdir(join(cache, blobsFolder, prefix), { recursive: true }))
}

export interface Entries {
  /** Artifacts with a manifest file, readable or not. */
  readonly manifests: readonly string[]
  /** Graphs and plain folders without one, as names in the cache folder. */
  readonly orphans: readonly string[]
}

export async function listEntries(cache: string): Promise<Entries> {
  const entries = (await readdir(cache)).map((name) => ({ name, entry: parseEntry(name) }))
  const manifests = new Set(entries.flatMap(({ entry }) => (entry?.kind === 'json' ? [entry.artifact] : [])))
  const orphans = entries
    .filter(({ entry }) => entry !== undefined && entry.kind !== 'json' && !manifests.has(entry.artifact))
    .map(({ name }) => name)
  return { manifests: [...manifests], orphans }
}

export interface ReadManifests {
  take(manifest: Manifest, ownBytes: number): void
  /** Of no use: torn, scribbled over, or of another version of this program. */
  dropUnusable(artifact: string): Promise<void>
}

/**
 * Reads every manifest. @returns how many the file system did not give: those artifacts are passed over, they stay where they are, and
 * it is not known what they refer to
 */
export async function readManifests(
  cache: string,
  artifacts: readonly string[],
  reader: ReadManifests,
): Promise<number> {
  let unread = 0
  await inParallel(artifacts, async (artifact) => {
    try {
      const manifest = await readManifest(cache, artifact)
      if (manifest === undefined) await reader.dropUnusable(artifact)
      else reader.take(manifest, await ownBytesOf(cache, manifest))
    } catch {
      unread++
    }
  })
  return unread
}

/** Bytes of an artifact without its blobs. A plain copy is measured, because its manifest names the model file only. */
export async function ownBytesOf(cache: string, manifest: Manifest): Promise<number> {
  if (manifest.form === 'mapped') return manifest.graph.bytes
  let bytes = 0
  for (const path of await plainFiles(cache, manifest)) bytes += (await stat(join(cache, path))).size
  return bytes
}

/** Files of a plain copy, relative to the cache folder. Empty when the folder is gone. */
export async function plainFiles(cache: string, manifest: Manifest): Promise<string[]> {
  const folder = manifest.file.slice(0, manifest.file.indexOf('/'))
  const entries = await readdir(join(cache, folder), { recursive: true, withFileTypes: true }).catch(() => [])
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(cache.length + 1))
}

/** Removes graphs and plain folders without a manifest that have not changed since `beforeMs` (wall time). Returns their names. */
export async function sweepOrphans(
  cache: string,
  beforeMs: number,
  isKnown: (artifact: string) => boolean,
): Promise<string[]> {
  const { orphans } = await listEntries(cache)
  const swept: string[] = []
  await inParallel(orphans, async (name) => {
    const artifact = parseEntry(name)?.artifact ?? ''
    if (isKnown(artifact) || !(await isOlder(join(cache, name), beforeMs))) return
    await rm(join(cache, name), { recursive: true, force: true })
    swept.push(name)
  })
  return swept
}

/** Removes blobs that nothing refers to and whose change time is before `beforeMs`. Returns their digests. */
export async function sweepBlobs(
  cache: string,
  beforeMs: number,
  isReferenced: (digest: string) => boolean,
): Promise<string[]> {
  const swept: string[] = []
  for (const prefix of BLOB_PREFIXES) {
    const names = await readdir(join(cache, blobsFolder, prefix)).catch(() => [])
    for (const name of names) {
      if (!isDigest(name) || isReferenced(name) || !(await isOlder(join(cache, blobPath(name)), beforeMs))) continue
      // Looked at again after the wait: a manifest may have begun to refer to it.
      if (isReferenced(name)) continue
      await rm(join(cache, blobPath(name)), { force: true })
      swept.push(name)
    }
  }
  return swept
}

/** The change time counts: a compiler that is about to refer to an old blob renews it. */
async function isOlder(path: string, beforeMs: number): Promise<boolean> {
  const info = await stat(path).catch(() => undefined)
  return info !== undefined && info.ctimeMs < beforeMs
}

/** Runs `task` over all items, some at a time. */
async function inParallel<T>(items: readonly T[], task: (item: T) => Promise<unknown>): Promise<void> {
  let next = 0
  const lane = async () => {
    while (next < items.length) {
      const item = items[next++]
      if (item !== undefined) await task(item)
    }
  }
  await Promise.all(Array.from({ length: Math.min(CONCURRENCY, items.length) }, lane))
}
