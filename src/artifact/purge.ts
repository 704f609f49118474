/**
 * Removes from a cache folder what was compiled of some models and of no others. Nobody else may be at the folder. An artifact belongs to
 * bytes, not to names: one that other models have too stays, and so does a blob that other artifacts refer to.
 */
import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Manifest } from '../domain/artifact.ts'
import type { Removed } from '../domain/purge.ts'
import { listEntries, prepareFolder, readManifests, sweepBlobs, sweepOrphans } from './cache-folder.ts'
import {
  BLOB_PREFIXES,
  blobPath,
  blobsFolder,
  graphFile,
  isDigest,
  manifestFile,
  plainFolder,
  sourcesFile,
} from './layout.ts'
import { parseSources, writeSources } from './source-memory.ts'

export interface ArtifactsPurge {
  readonly artifacts: Removed
  /** That nothing refers to any more, left-overs included. */
  readonly blobs: Removed
  /** Lines that said which bytes the models had. */
  readonly sources: number
  /** Artifacts that stay, because other models have the same bytes. */
  readonly kept: number
  /** Digests of source bytes that no other model has: by these the artifacts were made. */
  readonly digests: readonly string[]
}

export interface ArtifactsPurgeOptions {
  readonly isNamed: (name: string) => boolean
  /** Known from elsewhere to be of those models, for sources remembered without a name. */
  readonly sourceIds: ReadonlySet<string>
  /** Changes nothing. */
  readonly isDryRun: boolean
}

/** @throws Error when some manifests cannot be read: then it is not known what is still referred to */
export async function purgeArtifacts(
  cache: string,
  { isNamed, sourceIds, isDryRun }: ArtifactsPurgeOptions,
): Promise<ArtifactsPurge> {
  const remembered = parseSources(await readFile(join(cache, sourcesFile), 'utf8').catch(() => ''))
  const isTheirs = ({ id, name }: { readonly id: string; readonly name: string }): boolean =>
    name === '' ? sourceIds.has(id) : isNamed(name)
  const others = new Set(remembered.filter((source) => !isTheirs(source)).map(({ digest }) => digest))
  const theirs = remembered.filter(isTheirs)
  const digests = new Set(theirs.map(({ digest }) => digest).filter((digest) => !others.has(digest)))
  const manifests = await manifestsOf(cache)
  const victims = manifests.filter(({ manifest }) => digests.has(manifest.fingerprint.source))
  const rest = manifests.filter((one) => !victims.includes(one))
  const held = new Set(rest.flatMap(({ manifest }) => manifest.blobs.map(({ digest }) => digest)))
  const blobs = await measured(cache, held)
  if (!isDryRun) {
    await prepareFolder(cache)
    for (const { manifest } of victims) await removeArtifact(cache, manifest.artifact)
    // Nobody compiles: what no manifest names is rubbish, and whose it was cannot be told any more.
    const kept = new Set(rest.map(({ manifest }) => manifest.artifact))
    await sweepOrphans(cache, Number.POSITIVE_INFINITY, (artifact) => kept.has(artifact))
    await sweepBlobs(cache, Number.POSITIVE_INFINITY, (digest) => held.has(digest))
    if (theirs.length > 0)
      await writeSources(
        cache,
        remembered.filter((source) => !isTheirs(source)),
      )
  }
  const shared = new Set(theirs.map(({ digest }) => digest).filter((digest) => others.has(digest)))
  return {
    artifacts: { count: victims.length, bytes: victims.reduce((sum, { ownBytes }) => sum + ownBytes, 0) },
    blobs,
    sources: theirs.length,
    kept: rest.filter(({ manifest }) => shared.has(manifest.fingerprint.source)).length,
    digests: [...digests],
  }
}

async function removeArtifact(cache: string, artifact: string): Promise<void> {
  await rm(join(cache, manifestFile(artifact)), { force: true })
  await rm(join(cache, graphFile(artifact)), { force: true })
  await rm(join(cache, plainFolder(artifact)), { recursive: true, force: true })
}

async function manifestsOf(cache: string): Promise<Array<{ readonly manifest: Manifest; readonly ownBytes: number }>> {
  const { manifests: names } = await listEntries(cache)
  const found: Array<{ readonly manifest: Manifest; readonly ownBytes: number }> = []
  const unread = await readManifests(cache, names, {
    take: (manifest, ownBytes) => void found.push({ manifest, ownBytes }),
    // Of no use to anybody, and of nobody that could be told.
    dropUnusable: () => Promise.resolve(),
  })
  if (unread > 0)
    throw new Error(`${unread} manifests in ${cache} cannot be read, so that it is not known what others refer to`)
  return found
}

/** Blobs that nothing refers to. */
async function measured(cache: string, held: ReadonlySet<string>): Promise<Removed> {
  let [count, bytes] = [0, 0]
  for (const prefix of BLOB_PREFIXES) {
    const digests = await readdir(join(cache, blobsFolder, prefix)).catch(() => [])
    for (const digest of digests.filter((name) => isDigest(name) && !held.has(name))) {
      const facts = await stat(join(cache, blobPath(digest))).catch(() => undefined)
      count += facts === undefined ? 0 : 1
      bytes += facts?.size ?? 0
    }
  }
  return { count, bytes }
}
