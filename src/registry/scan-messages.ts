/** What passes between the registry and its scanner. Plain data: it crosses threads by structured clone. */
import type { ModelSettings } from '../domain/model-version.ts'

/** A version whose files have settled. */
export interface VersionFacts {
  readonly version: string
  readonly sourceId: string
  readonly modelFile: string
  readonly bytes: number
  /** Why the version cannot be used; absent when it can. */
  readonly problem?: string
  /** ModelSettings as JSON where they are not those of the model. */
  readonly settings?: string
}

/** Everything there is to know of one model; replaces what was said before. */
export interface ModelReport {
  readonly name: string
  /** Oldest first. Empty together with `pending`: the model is gone. */
  readonly versions: readonly VersionFacts[]
  /** Versions whose files are still changing and that have no settled state before. */
  readonly pending: readonly string[]
  readonly aliases: ReadonlyArray<readonly [alias: string, version: string]>
  /** The version that is served by default; absent = the latest that can be used. */
  readonly served?: string
  /** ModelSettings as JSON, the same text for the same settings; absent = the defaults. */
  readonly settings?: string
  /** Why no version of the model may run; absent when they may. */
  readonly problem?: string
}

export type ScannerMessage =
  | { readonly kind: 'models'; readonly reports: readonly ModelReport[] }
  /** Somebody asked for a name and there is no such model. */
  | { readonly kind: 'absent'; readonly name: string }
  /** A look at the whole folder ended. */
  | { readonly kind: 'scanned'; readonly models: number; readonly durationMs: number }
  /** The folder cannot be looked at; what was known stays. */
  | { readonly kind: 'root-lost'; readonly reason: string }
  | { readonly kind: 'event'; readonly name: string; readonly fields: Readonly<Record<string, string | number>> }

export type ScannerCommand =
  /** Look at this name before anything else. */
  { readonly kind: 'look'; readonly name: string }

export interface ScannerOptions {
  readonly root: string
  readonly pollMs: number
  readonly settleMs: number
  /** ModelSettings of a model without a file of its own. */
  readonly defaults: ModelSettings
}
