/** Where models come from: what knows of them, and what brings their bytes here. A folder, or a folder in S3. */
import { hash } from 'node:crypto'
import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import { isS3Uri, parseS3Folder } from '../domain/s3-uri.ts'
import type { Clock } from '../lib/clock.ts'
import { FolderRegistry } from '../registry/folder-registry.ts'
import type { Registry } from '../registry/registry.ts'
import { RegistrySnapshot } from '../registry/registry-snapshot.ts'
import { S3Registry } from '../registry/s3-registry.ts'
import { FolderStore } from '../store/folder-store.ts'
import { REMOTE_STORE_LIMITS, RemoteStore } from '../store/remote-store.ts'
import { Staging } from '../store/staging.ts'
import type { Store } from '../store/store.ts'
import type { EventSink } from './event-sink.ts'
import { s3Lister, s3Reader, s3SmallReader, s3Sources } from './s3-access.ts'

export interface ModelSource {
  readonly registry: WatchedRegistry
  readonly store: Store
  /** Ends what fetches; the registry is closed by whoever started it. Idempotent. */
  close(): Promise<void>
}

/** A registry whose work can be seen. */
export interface WatchedRegistry extends Registry {
  readonly size: { readonly models: number; readonly versions: number }
  /** What the last look at everything took, in milliseconds. */
  readonly lastScanMs: number | undefined
  /** How long ago what is known was seen to be so, in milliseconds; undefined when nothing was ever known. */
  readonly ageMs: number | undefined
}

interface SourceDeps {
  readonly clock: Clock
  readonly onEvent: EventSink
}

/** In the cache folder: fetched files, and what registries knew. */
const STAGING_FOLDER = 'staging'
const REGISTRY_FOLDER = 'registry'
const SNAPSHOT_NAME_DIGITS = 24
const CONNECT_MS = 5000
const ANSWER_MS = 20_000
/** Lists and small reads; a fetch has reads of its own, which it begins again by itself. */
const CALLS = { attempts: 3, maxConnections: 16 }

export function openModelSource(config: Config, deps: SourceDeps): Promise<ModelSource> {
  return isS3Uri(config.store.models) ? openS3(config, deps) : Promise.resolve(openFolder(config, deps))
}

function openFolder({ store, model }: Config, { clock, onEvent }: SourceDeps): ModelSource {
  return {
    registry: new FolderRegistry({ ...store, defaults: model, clock, onEvent }),
    store: new FolderStore(store),
    close: () => Promise.resolve(),
  }
}

async function openS3({ store, model, cache }: Config, { clock, onEvent }: SourceDeps): Promise<ModelSource> {
  // The SDK takes a tenth of a second and 35 MB: only where it is used.
  const { S3 } = await import('../clients/s3.ts')
  const { models, s3: settings, settleMs } = store
  const { endpoint, region, pathStyle, pollMs } = settings
  const folder = parseS3Folder(models)
  const common = { endpoint, region, pathStyle, connectTimeoutMs: CONNECT_MS, answerTimeoutMs: ANSWER_MS, clock }
  const calls = new S3({ ...common, ...CALLS })
  const reads = new S3({ ...common, attempts: 1, maxConnections: REMOTE_STORE_LIMITS.parallelReads })
  const origin = `${endpoint ?? 'aws'} ${models}`
  const name = hash('sha256', origin, 'hex').slice(0, SNAPSHOT_NAME_DIGITS)
  const registry = new S3Registry({
    folder,
    list: s3Lister(calls),
    read: s3SmallReader(calls, folder),
    pollMs,
    settleMs,
    defaults: model,
    snapshot: new RegistrySnapshot({ path: join(cache.dir, REGISTRY_FOLDER, `${name}.jsonl`), origin, clock }),
    clock,
    random: Math.random,
    onEvent,
  })
  const staging = new Staging({
    dir: join(cache.dir, STAGING_FOLDER),
    budgetBytes: cache.stagingBytes,
    minFreeBytes: cache.minFreeDiskBytes,
    clock,
    onEvent,
  })
  await staging.open()
  const remote = new RemoteStore({
    reader: s3Reader(reads),
    sourceOf: s3Sources(calls, folder, (version: ModelVersion) => registry.sourceOf(version)),
    staging,
    limits: REMOTE_STORE_LIMITS,
    replacedRetryMs: pollMs,
    clock,
    random: Math.random,
    onEvent,
  })
  return {
    registry,
    store: remote,
    async close() {
      await remote.close()
      calls.close()
      reads.close()
    },
  }
}
