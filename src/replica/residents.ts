/**
 * The artifacts behind ready entries: which file a ModelKey is opened from, and the hold that keeps disk eviction away from
 * it. A resident is known from just before its entry is ready until its memory is given back.
 */
import type { Manifest } from '../domain/artifact.ts'
import type { ModelVersion } from '../domain/model-version.ts'

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
}

/** What a resident model is expected to cost before and after it was measured. */
export function demandOf(manifest: Manifest): {
  privateBytes: number
  activationBytes: number
  blobs: Manifest['blobs']
} {
  const { probe, blobs } = manifest
  return {
    privateBytes: probe?.privateBytes ?? manifest.privateBytes,
    activationBytes: probe === undefined ? 0 : Math.max(...probe.activationBytes),
    blobs: distinct(blobs),
  }
}

/** Mappings of one session: one a tensor file, and a few for what the session itself keeps. */
export function mappingsOf(manifest: Manifest): number {
  return manifest.probe?.mappings ?? manifest.blobs.length + 2
}

function distinct(blobs: Manifest['blobs']): Manifest['blobs'] {
  return blobs.length < 2 ? blobs : [...new Map(blobs.map((blob) => [blob.digest, blob])).values()]
}
