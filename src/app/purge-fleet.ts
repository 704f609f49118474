/**
 * Removes compiled models from where machines of a fleet share them. An artifact there says which source bytes it was made of, not whose
 * they were: that is known to the cache folder of a machine that served them.
 */
import { MANIFEST_MAX_BYTES, readFleetManifest } from '../artifact/fleet-manifest.ts'
import { blobKey, manifestKey } from '../artifact/fleet-place.ts'
import type { S3 } from '../clients/s3.ts'
import type { S3Eraser, S3Kept } from '../clients/s3-eraser.ts'
import type { Manifest } from '../domain/artifact.ts'
import { NOTHING, type Removed } from '../domain/purge.ts'
import type { S3Folder } from '../domain/s3-uri.ts'
import { eachOf } from '../lib/each-of.ts'
import { FLEET_LAYOUT } from './fleet-place.ts'
import { isMissing, PARALLEL_CALLS, sumOf } from './purge-objects.ts'

export interface FleetPurge {
  readonly artifacts: number
  /** Of those artifacts alone. */
  readonly objects: Removed
  /** That no other artifact refers to. */
  readonly blobs: Removed
}

const MAX_OBJECTS = 1_000_000
const ARTIFACT = /^artifacts\/([0-9a-f]{32})\//
const NONE: FleetPurge = { artifacts: 0, objects: NOTHING, blobs: NOTHING }

/** `digests`: of source bytes that only the models have which are to go. @throws S3Error; the signal's reason */
export async function purgeFleet(
  { s3, eraser }: { readonly s3: S3; readonly eraser: S3Eraser },
  folder: S3Folder,
  digests: readonly string[],
  isDryRun: boolean,
  signal: AbortSignal,
): Promise<FleetPurge> {
  if (digests.length === 0) return NONE
  const { bucket } = folder
  const root = `${folder.prefix}${FLEET_LAYOUT}`
  const kept = await eraser.list(bucket, `${root}artifacts/`, MAX_OBJECTS, signal)
  const artifactOf = ({ key }: S3Kept): string => ARTIFACT.exec(key.slice(root.length))?.[1] ?? ''
  const names = [...new Set(kept.map(artifactOf))].filter((name) => name !== '')
  const manifests = await eachOf(names, PARALLEL_CALLS, signal, (name) => manifestOf(s3, bucket, root, name, signal))
  const sources = new Set(digests)
  const found = manifests.filter((manifest) => manifest !== undefined)
  const victims = found.filter(({ fingerprint }) => sources.has(fingerprint.source))
  const gone = new Set(victims.map(({ artifact }) => artifact))
  const held = new Set(
    found
      .filter(({ artifact }) => !gone.has(artifact))
      .flatMap(({ blobs }) => blobs)
      .map(digestOf),
  )
  const free = [...new Set(victims.flatMap(({ blobs }) => blobs).map(digestOf))].filter((digest) => !held.has(digest))
  const objects = kept.filter((one) => gone.has(artifactOf(one)))
  const blobs = (
    await eachOf(free, PARALLEL_CALLS, signal, (digest) =>
      eraser.list(bucket, `${root}${blobKey(digest)}`, MAX_OBJECTS, signal),
    )
  ).flat()
  if (!isDryRun) {
    const isManifest = (one: S3Kept): boolean => one.key === `${root}${manifestKey(artifactOf(one))}`
    // Without its manifest an artifact is not there, and nobody misses the rest.
    await eachOf(objects.filter(isManifest), PARALLEL_CALLS, signal, (one) => eraser.erase(bucket, one, signal))
    const rest = objects.filter((one) => !isManifest(one))
    await eachOf([...rest, ...blobs], PARALLEL_CALLS, signal, (one) => eraser.erase(bucket, one, signal))
  }
  return { artifacts: gone.size, objects: sumOf(objects), blobs: sumOf(blobs) }
}

/** Undefined for one that nobody would take over: it holds nothing. */
async function manifestOf(
  s3: S3,
  bucket: string,
  root: string,
  artifact: string,
  signal: AbortSignal,
): Promise<Manifest | undefined> {
  const name = { bucket, key: `${root}${manifestKey(artifact)}` }
  try {
    const { bytes, etag } = await s3.head(name, signal)
    if (bytes > MANIFEST_MAX_BYTES) return undefined
    return readFleetManifest(await s3.readText({ ...name, etag }, bytes, MANIFEST_MAX_BYTES, signal), artifact)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

function digestOf({ digest }: { readonly digest: string }): string {
  return digest
}
