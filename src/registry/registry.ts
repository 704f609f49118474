/** What every registry of models is to the rest: facts about names, versions and aliases, held in memory and kept up to date. */
import type { ModelRef } from '../domain/model-ref.ts'
import type { ModelVersion } from '../domain/model-version.ts'

/**
 * What happened to a version. `changed`: other bytes (another `key`) or other settings (the same `key`) under the same number;
 * `previous` is what `resolve` gave until now. Published after `resolve` answers accordingly.
 */
export type RegistryChange =
  | { readonly kind: 'added'; readonly version: ModelVersion }
  | { readonly kind: 'removed'; readonly version: ModelVersion }
  | { readonly kind: 'changed'; readonly version: ModelVersion; readonly previous: ModelVersion }
  /** An alias of the model came, went or moved; `version` is the one that is served by default. */
  | { readonly kind: 'aliases'; readonly version: ModelVersion }

export interface Registry {
  /** Begins to look; resolves at once. Call once. */
  start(): Promise<void>
  /** Resolves when everything that was there at the start is known, or the registry was closed; never rejects. */
  readonly initialScan: Promise<void>
  /**
   * The version a ref means now: in memory, constant time.
   * @throws GatewayError MODEL_NOT_FOUND, VERSION_NOT_FOUND, ALIAS_NOT_FOUND; MODEL_LOADING while a version is not complete or
   *   the name was not looked for yet; ARTIFACT_INVALID for a version that the registry knows to be unusable;
   *   REGISTRY_UNAVAILABLE when nothing was ever known
   */
  resolve(ref: ModelRef): ModelVersion
  /** Oldest first; empty for an unknown name. */
  versionsOf(name: string): readonly ModelVersion[]
  /** Version by alias; empty for an unknown name. */
  aliasesOf(name: string): ReadonlyMap<string, string>
  names(): readonly string[]
  /** Every version of every model. */
  list(): Iterable<ModelVersion>
  readonly size: { readonly models: number; readonly versions: number }
  /** Everything among which the name would be was looked at once, so that a version of it that is not known is not there. */
  hasScanned(name: string): boolean
  /** Calls the listener for each change until the returned function is called. */
  onChange(listener: (change: RegistryChange) => void): () => void
  /** Stops looking; what is known stays. Idempotent. */
  close(): Promise<void>
}

/** A registry of one place, whose work can be seen. */
export interface WatchedRegistry extends Registry {
  /** What the last look at everything took, in milliseconds; undefined before the first one ended. */
  readonly lastScanMs: number | undefined
  /** How long ago what is known was seen to be so, in milliseconds; undefined when nothing was ever known. */
  readonly ageMs: number | undefined
}

/** One thing worth a line in the log. */
export type RegistryEventSink = (name: string, fields: Readonly<Record<string, unknown>>) => void

/** The version with the settings that it has by now; as it was when the registry does not have it any more. */
export function currentVersion(registry: Pick<Registry, 'versionsOf'>, version: ModelVersion): ModelVersion {
  return registry.versionsOf(version.name).find(({ key }) => key === version.key) ?? version
}
