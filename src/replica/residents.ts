/**
 * The artifacts behind ready entries: which file a ModelKey is opened from, and the hold that keeps disk eviction away from
 * it. A resident is known from just before its entry is ready until its memory is given back.
 */
import type { Manifest } from '../domain/artifact.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { Batching } from '../worker/messages.ts'

export interface Resident {
  /** Replaced when the owner changes how the model is to be run. */
  version: ModelVersion
  /** Replaced once, when the probe has measured the artifact. */
  manifest: Manifest
  /** Ends the hold on the artifact's files. */
  readonly letGo: () => void
  /** Runs since it became resident. */
  runs: number
  /** Monotonic time of the last check that the artifact's files are the ones that were written. */
  checkedAt: number
  /** There was no memory to open it packed: not tried again before this many runs. */
  unpackedUntilRuns: number
  /** There was no room for it in a second worker: not tried again before this monotonic time. */
  homeUntil: number
  /** Its files are not what was written: nothing that comes from its open sessions may be given out. */
  isDamaged: boolean
}

export function newResident(version: ModelVersion, manifest: Manifest, letGo: () => void): Resident {
  return {
    version,
    manifest,
    letGo,
    runs: 0,
    checkedAt: Number.NEGATIVE_INFINITY,
    unpackedUntilRuns: 0,
    homeUntil: Number.NEGATIVE_INFINITY,
    isDamaged: false,
  }
}

/** What a resident model is expected to cost before and after it was measured. */
export function demandOf(manifest: Manifest): {
  privateBytes: number
  activationBytes: number
  blobs: Manifest['blobs']
} {
  const { probe, blobs } = manifest
  return {
    privateBytes: privateBytesOf(manifest, false),
    activationBytes: probe === undefined ? 0 : Math.max(...probe.activationBytes),
    blobs: distinct(blobs),
  }
}

/** Of one placement. */
export function privateBytesOf({ probe, privateBytes }: Manifest, isPacked: boolean): number {
  return (isPacked ? probe?.packed.privateBytes : undefined) ?? probe?.privateBytes ?? privateBytes
}

/** Mappings of one session: one a tensor file, and a few for what the session itself keeps. */
export function mappingsOf(manifest: Manifest): number {
  return manifest.probe?.mappings ?? manifest.blobs.length + 2
}

/** What decides whether a model may be open in two workers at once. */
export function formOf(manifest: Manifest): { isMapped: boolean; privateBytes: number } {
  // An artifact without tensor files maps nothing, whatever its form says: all of it is private.
  return { isMapped: manifest.blobs.length > 0, privateBytes: privateBytesOf(manifest, false) }
}

/** May requests be stacked: only if the owner allows it and the probe found it safe. */
export function batchingOf({ version, manifest }: Pick<Resident, 'version' | 'manifest'>): Batching {
  const { mode, maxRows } = version.settings.batching
  return { isBatchSafe: mode === 'auto' && manifest.probe?.isBatchSafe === true, maxRows }
}

/** Has the model run often enough that packing its weights pays? */
export function wantsPacked({ manifest, runs, unpackedUntilRuns }: Resident): boolean {
  const paysAfter = manifest.probe?.packed.paysAfterRuns
  return paysAfter !== null && paysAfter !== undefined && runs >= paysAfter && runs >= unpackedUntilRuns
}

function distinct(blobs: Manifest['blobs']): Manifest['blobs'] {
  return blobs.length < 2 ? blobs : [...new Map(blobs.map((blob) => [blob.digest, blob])).values()]
}
