/** A model whose files lie elsewhere, as a registry found it: what versions it has, and of which objects they are made. */
import type { RemoteFile } from '../domain/remote-source.ts'
import type { ModelReport, VersionFacts } from './scan-messages.ts'

/** An object of a listing; its path begins below the registry's own folder. */
export interface FoundObject {
  readonly path: string
  readonly bytes: number
  readonly etag: string
  /** Milliseconds since 1970 by the server's clock. */
  readonly modifiedMs: number
}

export interface FoundVersion {
  readonly facts: VersionFacts
  readonly files: readonly RemoteFile[]
  /** When the newest of its objects was written. */
  readonly newestMs: number
}

export interface FoundModel {
  readonly name: string
  /** Oldest first. */
  readonly versions: readonly FoundVersion[]
  readonly aliases: FoundObject | undefined
  readonly settings: FoundObject | undefined
  /** One archive `<name>.tar.gz` instead of a folder of versions. */
  readonly isArchive: boolean
}

/** What is known of one model, as plain data: it goes to disk as JSON. `F`: what is known of the files of a version. */
export interface RemoteRecord<F = readonly RemoteFile[]> {
  readonly report: ModelReport
  /** Of each version of the report. */
  readonly files: ReadonlyArray<readonly [version: string, files: F]>
}
