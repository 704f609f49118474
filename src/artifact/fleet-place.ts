/**
 * A place that the machines of a fleet share, as this room needs it: objects by key, which are written once and seldom replaced. Who
 * may write there is trusted as a compiler is; what the network or a disk did to an object on its way is found here all the same.
 *
 *   artifacts/<artifact>/manifest.json  written last: without it the artifact is not there
 *   artifacts/<artifact>/probe.json     what the probe measured, later
 *   artifacts/<artifact>/<sha256>       files of this artifact alone: its graph, or the copy of the original
 *   blobs/<aa>/<sha256>                 tensors, shared
 */
import { blobPath } from './layout.ts'

export interface FleetObject {
  readonly bytes: number
  /** Hex, where the writer noted it. */
  readonly sha256: string | undefined
}

export type FleetContent = Buffer | { readonly path: string; readonly bytes: number }

/** Calls may come at once. An abort ends each with the signal's reason. @throws FleetTrouble */
export interface FleetPlace {
  /** Undefined when there is no such object. */
  head(key: string, signal: AbortSignal): Promise<FleetObject | undefined>
  /** The first `bytes` bytes of an object, no fewer. */
  read(key: string, bytes: number, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>
  /** `over`: write also where there is an object. @returns false when there was one */
  put(key: string, content: FleetContent, options: PutOptions): Promise<boolean>
}

export interface PutOptions {
  /** Hex. */
  readonly sha256: string
  readonly over: 'nothing' | 'anything'
  readonly signal: AbortSignal
}

export type TroubleKind =
  /** There is no such object. */
  | 'missing'
  /** The object is not what its name says, or the manifest says what cannot be. */
  | 'wrong'
  /** No answer, or a refusal: the place, not the object. */
  | 'unavailable'
  /** It would have taken too long. */
  | 'late'

export class FleetTrouble extends Error {
  override readonly name = 'FleetTrouble'
  readonly kind: TroubleKind
  /** The object that is missing or wrong. */
  readonly key: string | undefined

  constructor(kind: TroubleKind, message: string, key?: string) {
    super(message)
    this.kind = kind
    this.key = key
  }
}

export interface FleetLimits {
  /** Until it is known whether the place has the artifact. */
  readonly lookupMs: number
  /** Until the artifact is here: so much, and so much for each MiB that is fetched. */
  readonly deadlineMs: number
  readonly deadlineMsPerMiB: number
  /** Larger artifacts are neither fetched nor sent. */
  readonly maxArtifactBytes: number
  /** Objects fetched at a time, and as many sent. */
  readonly parallel: number
  /** Artifacts that wait to be sent. */
  readonly maxQueued: number
  /** How long a place that did not answer is left alone. */
  readonly retryMs: number
}

export function manifestKey(artifact: string): string {
  return `artifacts/${artifact}/manifest.json`
}

export function probeKey(artifact: string): string {
  return `artifacts/${artifact}/probe.json`
}

export function ownKey(artifact: string, digest: string): string {
  return `artifacts/${artifact}/${digest}`
}

export function blobKey(digest: string): string {
  return blobPath(digest)
}
