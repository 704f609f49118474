/** What every store of model bytes is to the rest: it brings the files of a version into a folder of this machine. */
import type { FetchProgress } from '../domain/fetch-progress.ts'
import type { ModelVersion, SourceFile } from '../domain/model-version.ts'

/** The files of one version, where a compiler can read them. */
export interface StagedSource {
  /** Absolute, without links. */
  readonly dir: string
  /** Relative to `dir`. */
  readonly modelFile: string
  /** Sorted by path; the model file is one of them. */
  readonly files: readonly SourceFile[]
  /** Of all files together. */
  readonly bytes: number
  /** SHA-256 over the files where the store knows it without reading them; hex. */
  readonly digest?: string
  /** Whether the files still are the ones that were staged. False also when they are gone; never rejects. */
  isUnchanged(): Promise<boolean>
  /** The caller is done with the files, which may be gone from here on. Idempotent. */
  release(): void
}

export interface Store {
  /**
   * Calls for the same version may run at the same time. An abort rejects with the signal's reason. Whoever was given a source
   * releases it.
   * @throws GatewayError ARTIFACT_UNREACHABLE when the files are gone or cannot be read, MODEL_LOADING when they are not (or not
   *   any more) the version's, ARTIFACT_INVALID when the store refuses them, STORE_UNAVAILABLE when it does not answer
   */
  stage(version: ModelVersion, signal?: AbortSignal): Promise<StagedSource>
  /** Of a version that is being fetched, by its key; undefined for any other. */
  progressOf(key: string): FetchProgress | undefined
}
