/** Models in a folder of S3. */
import type { ModelVersion } from '../domain/model-version.ts'
import type { NamePrefix } from '../domain/name-routes.ts'
import type { S3Folder } from '../domain/s3-uri.ts'
import { parseS3Folder } from '../domain/s3-uri.ts'
import type { ListPage } from '../registry/s3-listing.ts'
import { S3Registry } from '../registry/s3-registry.ts'
import { REMOTE_STORE_LIMITS, RemoteStore } from '../store/remote-store.ts'
import { knownModels } from './known-models.ts'
import { s3Lister, s3Reader, s3SmallReader, s3Sources } from './s3-access.ts'
import type { OpenSource, SourceDeps, SourcePlace } from './source-place.ts'

const CONNECT_MS = 5000
const ANSWER_MS = 20_000
/** Lists and small reads; a fetch has reads of its own, which it begins again by itself. */
const CALLS = { attempts: 3, maxConnections: 16 }

export async function openS3({ models, prefix }: SourcePlace, deps: SourceDeps): Promise<OpenSource> {
  // The SDK takes a tenth of a second and 35 MB: only where it is used.
  const { S3 } = await import('../clients/s3.ts')
  const { clock, onEvent } = deps
  const { store, model } = deps.config
  const { endpoint, region, pathStyle, pollMs } = store.s3
  const folder = parseS3Folder(models)
  const common = { endpoint, region, pathStyle, connectTimeoutMs: CONNECT_MS, answerTimeoutMs: ANSWER_MS, clock }
  const calls = new S3({ ...common, ...CALLS })
  const reads = new S3({ ...common, attempts: 1, maxConnections: REMOTE_STORE_LIMITS.parallelReads })
  // One place may serve several prefixes, each with a registry that saves by itself.
  const origin = [endpoint ?? 'aws', models, ...(prefix === '' ? [] : [prefix])].join(' ')
  const registry = new S3Registry({
    folder,
    list: within(s3Lister(calls), folder, prefix),
    read: s3SmallReader(calls, folder),
    pollMs,
    settleMs: store.settleMs,
    defaults: model,
    snapshot: knownModels(origin, deps),
    clock,
    random: Math.random,
    onEvent,
  })
  const remote = new RemoteStore({
    reader: s3Reader(reads),
    sourceOf: s3Sources(calls, folder, (version: ModelVersion) => registry.sourceOf(version)),
    staging: await deps.staging(),
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

/** A sweep asks for the whole folder; of that, what another place has the names of need not be listed. */
function within(list: ListPage, folder: S3Folder, names: NamePrefix): ListPage {
  return (request, signal) =>
    list(request.prefix === folder.prefix ? { ...request, prefix: `${folder.prefix}${names}` } : request, signal)
}
