import type { SourceFile } from '../domain/model-version.ts'

/** A version's bytes, staged on this machine, on their way to become an artifact. */
export interface ArtifactSource {
  /** ModelKey. */
  readonly key: string
  /** The registry's identity of the bytes: equal ids are equal bytes. */
  readonly sourceId: string
  readonly tenant: string
  /** Absolute path of the version's folder; nothing outside it is read. */
  readonly dir: string
  /** Relative to `dir`. */
  readonly modelFile: string
  readonly files: readonly SourceFile[]
  readonly bytes: number
  /** Digest of the files that matter, where whoever staged them computed it on the way. */
  readonly digest?: string
  /** The owner's warm-up requests: OIP inference requests in JSON. */
  readonly warmUp: readonly unknown[]
  readonly intraOpThreads: number
  /** Are the files still those that were staged? Asked after the compile: what changed meanwhile is thrown away. */
  isUnchanged(): Promise<boolean>
}
