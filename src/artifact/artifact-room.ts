/** The compiled models of a cache folder as a replica needs them, whoever owns the folder. */
import type { Manifest } from '../domain/artifact.ts'
import type { Signature } from '../domain/tensor-types.ts'
import type { ArtifactSource } from './source.ts'

export interface Compiled {
  readonly manifest: Manifest
  /** Milliseconds by phase, `queue` for the wait for a compiler; empty when there was nothing to do. */
  readonly timings: Readonly<Record<string, number>>
  /** Nothing was compiled: another machine of the fleet had. */
  readonly isFetched?: true
}

/** `jsonBytes`: length of the JSON part where tensors follow in binary. */
export interface ClientRequest {
  readonly body: Buffer
  readonly jsonBytes?: number
}

export interface PagedIn {
  readonly readBytes: number
  readonly isCold: boolean
}

/** What a probe is to know of its model. */
export type ProbeSource = Pick<ArtifactSource, 'tenant' | 'warmUp' | 'intraOpThreads'>

/** All calls may come at once and in any order; what is under way belongs to nobody, so a `signal` ends a wait and no work. */
export interface ArtifactRoom {
  /** The artifact of a source that was compiled before, here or before a restart. */
  find(sourceId: string): Promise<Manifest | undefined> | Manifest | undefined

  /**
   * The source's artifact, compiled unless it is here. One compile per source.
   * @throws GatewayError ARTIFACT_INVALID (with `strike` in its details when the model crashed, hung or outgrew its compiler),
   * MODEL_LOADING when the source changed meanwhile, CAPACITY_EXHAUSTED when the folder cannot take it, OVERLOADED, DRAINING
   */
  compile(source: ArtifactSource, signal?: AbortSignal): Promise<Compiled>

  /**
   * Holds an artifact that could not be checked on made-up inputs against the original on a request that a client sent.
   * @returns its manifest from now on, of form `plain` when the answers differ; `check` says whether they were compared
   */
  recheck(source: ArtifactSource, request: ClientRequest): Promise<Manifest>

  /** Measures an artifact in the background and writes what it found into its manifest. One probe per artifact. */
  probe(artifact: string, source: ProbeSource): Promise<Manifest>

  /** Inputs and outputs by the model's structure alone: compiles and digests nothing. @throws GatewayError ARTIFACT_INVALID */
  inspect(source: Pick<ArtifactSource, 'tenant' | 'dir' | 'modelFile'>): Promise<Signature>

  /** Are the files what was written? Cheap. A corrupt artifact is removed, so that the next `compile` makes it anew. */
  checkFiles(manifest: Manifest): Promise<boolean>

  /**
   * Checks the artifact's files and brings their pages in.
   * @throws GatewayError MODEL_LOADING when the artifact was corrupt: it is gone, and `compile` makes it anew
   */
  pageIn(manifest: Manifest, signal?: AbortSignal): Promise<PagedIn>

  /** Digests the artifact's files for somebody who waits; a corrupt one takes its artifact with it. @returns the corrupt paths, its manifest's when it is gone */
  verify(artifact: string): Promise<readonly string[]>

  /** Absolute path of the file to open. */
  fileOf(manifest: Manifest): string

  /** In use: eviction and collection keep away until released. Releasing twice does nothing. */
  hold(artifact: string): () => void

  /** Idempotent. */
  close(): Promise<void>
}
