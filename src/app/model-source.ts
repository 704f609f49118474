/**
 * Where models come from: what knows of them, and what brings their bytes here. One place for all names, others for the names under
 * prefixes; each has connections and bounds of its own, so that one that does not answer takes nothing from the others. What they
 * fetch shares one folder and one budget.
 */
import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import { isMlflowUri } from '../domain/mlflow-uri.ts'
import type { NamePrefix } from '../domain/name-routes.ts'
import { isS3Uri } from '../domain/s3-uri.ts'
import { CompositeRegistry } from '../registry/composite-registry.ts'
import { FolderRegistry } from '../registry/folder-registry.ts'
import type { Registry, WatchedRegistry } from '../registry/registry.ts'
import { FolderStore } from '../store/folder-store.ts'
import { RoutedStore } from '../store/routed-store.ts'
import { Staging } from '../store/staging.ts'
import type { Store } from '../store/store.ts'
import { STAGING_FOLDER } from './cache-layout.ts'
import type { EventSink } from './event-sink.ts'
import { openMlflow } from './mlflow-source.ts'
import { openS3 } from './s3-source.ts'
import type { OpenSource, SourceDeps, SourcePlace } from './source-place.ts'

export interface ModelSource {
  readonly registry: Registry
  readonly store: Store
  /** The registries of which `registry` is made, each with the prefix of its names. */
  readonly watched: readonly { readonly prefix: NamePrefix; readonly registry: WatchedRegistry }[]
  /** What was fetched into the cache folder; undefined where no place needs that. */
  readonly staging: Staging | undefined
  /** Ends what fetches; the registry is closed by whoever started it. Idempotent. */
  close(): Promise<void>
}

export async function openModelSource(
  config: Config,
  { clock, onEvent }: Pick<SourceDeps, 'clock' | 'onEvent'>,
): Promise<ModelSource> {
  let staging: Promise<Staging> | undefined
  const deps: SourceDeps = {
    config,
    clock,
    onEvent,
    staging() {
      staging ??= openStaging(config, { clock, onEvent })
      return staging
    },
  }
  const places: readonly SourcePlace[] = [{ prefix: '', models: config.store.models }, ...config.store.sources]
  const opened: (OpenSource & { readonly prefix: NamePrefix })[] = []
  const close = async (): Promise<void> => {
    await Promise.all(opened.map((one) => one.close()))
  }
  try {
    for (const place of places)
      opened.push({ prefix: place.prefix, ...(await openPlace(place, { ...deps, onEvent: named(place, onEvent) })) })
  } catch (error) {
    await close()
    throw error
  }
  const [first] = opened
  return {
    registry: opened.length === 1 && first !== undefined ? first.registry : new CompositeRegistry(opened, onEvent),
    store: opened.length === 1 && first !== undefined ? first.store : new RoutedStore(opened),
    watched: opened,
    staging: await staging,
    close,
  }
}

/** Lines of the log say of which place they are, where there are several. */
function named({ prefix }: SourcePlace, onEvent: EventSink): EventSink {
  return prefix === '' ? onEvent : (name, fields) => onEvent(name, { prefix, ...fields })
}

/** By the kind of the place. */
function openPlace(place: SourcePlace, deps: SourceDeps): Promise<OpenSource> {
  if (isS3Uri(place.models)) return openS3(place, deps)
  if (isMlflowUri(place.models)) return openMlflow(place, deps)
  return Promise.resolve(openFolder(place, deps))
}

function openFolder({ models }: SourcePlace, { config, clock, onEvent }: SourceDeps): OpenSource {
  const store = { ...config.store, models }
  return {
    registry: new FolderRegistry({ ...store, defaults: config.model, clock, onEvent }),
    store: new FolderStore(store),
    close: () => Promise.resolve(),
  }
}

async function openStaging(
  { cache }: Config,
  { clock, onEvent }: Pick<SourceDeps, 'clock' | 'onEvent'>,
): Promise<Staging> {
  const staging = new Staging({
    dir: join(cache.dir, STAGING_FOLDER),
    budgetBytes: cache.stagingBytes,
    minFreeBytes: cache.minFreeDiskBytes,
    clock,
    onEvent,
  })
  await staging.open()
  return staging
}
