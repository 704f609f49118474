/** Models in an MLflow registry, wherever its artifacts lie: behind its proxy, in S3, or in folders of this machine that are allowed. */
import { hash } from 'node:crypto'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Mlflow } from '../clients/mlflow.ts'
import { MlflowArtifacts } from '../clients/mlflow-artifacts.ts'
import { MLFLOW_LIMITS, MlflowHttp } from '../clients/mlflow-http.ts'
import type { S3 } from '../clients/s3.ts'
import { SignedReads } from '../clients/signed-reads.ts'
import { ConfigError } from '../config/config-error.ts'
import type { MlflowEnvironment } from '../config/mlflow-environment.ts'
import { readMlflowEnvironment } from '../config/mlflow-environment.ts'
import type { Config } from '../config/schema.ts'
import type { ArtifactPlace } from '../domain/artifact-place.ts'
import { proxyLocation } from '../domain/artifact-place.ts'
import { mlflowServerOf } from '../domain/mlflow-uri.ts'
import type { RemoteFile } from '../domain/remote-source.ts'
import { isS3Uri } from '../domain/s3-uri.ts'
import type { Clock } from '../lib/clock.ts'
import { MlflowRegistry } from '../registry/mlflow-registry.ts'
import { RegistrySnapshot } from '../registry/registry-snapshot.ts'
import type { ObjectReader } from '../store/object-reader.ts'
import { REMOTE_STORE_LIMITS, RemoteStore } from '../store/remote-store.ts'
import { REGISTRY_FOLDER } from './cache-layout.ts'
import { isLocalFile, localFiles, localReader } from './local-artifacts.ts'
import { asMlflowFailure, MlflowNames, mlflowReader, mlflowReads } from './mlflow-access.ts'
import { mlflowFiles } from './mlflow-files.ts'
import { MlflowStore } from './mlflow-store.ts'
import { s3Files, s3Reader } from './s3-access.ts'
import type { OpenSource, SourceDeps, SourcePlace } from './source-place.ts'

const SNAPSHOT_NAME_DIGITS = 24
const S3_CALLS = { attempts: 3, connectTimeoutMs: 5000, answerTimeoutMs: 20_000 }

/** @throws ConfigError for an environment that does not say what it should */
export async function openMlflow({ models, prefix }: SourcePlace, deps: SourceDeps): Promise<OpenSource> {
  const { clock, onEvent } = deps
  const { store, model, cache } = deps.config
  const environment = readMlflowEnvironment(mlflowServerOf(models))
  const settings = store.mlflow
  const { uri } = environment
  if (uri === undefined)
    throw new ConfigError([
      `models of ${JSON.stringify(models)}: expected MLFLOW_REGISTRY_URI or MLFLOW_TRACKING_URI to be the http or https URL of an MLflow server`,
    ])
  const workspace = settings.workspace ?? environment.workspace
  const rules = { server: uri, allowed: settings.artifacts }
  const { credentials, tls } = environment
  const http = new MlflowHttp({ uri, credentials, tls, workspace, clock, random: Math.random })
  const mlflow = new Mlflow(http)
  const artifacts = new MlflowArtifacts(http, rules, clock)
  const signedReads = new SignedReads({
    rules,
    connectMs: MLFLOW_LIMITS.connectMs,
    answerMs: S3_CALLS.answerTimeoutMs,
    idleMs: REMOTE_STORE_LIMITS.idleMs,
    maxConnections: REMOTE_STORE_LIMITS.parallelReads,
    clock,
  })
  const s3 = new LazyS3(store.s3, environment, clock)
  const names = new MlflowNames(prefix)
  const origin = [uri, ...(workspace === undefined ? [] : [workspace])].join(' ')
  const known = ['mlflow', origin, settings.defaultAlias ?? '', prefix].join(' ')
  const name = hash('sha256', known, 'hex').slice(0, SNAPSHOT_NAME_DIGITS)
  const registry = new MlflowRegistry({
    reads: mlflowReads(mlflow, names),
    place: uri,
    origin,
    defaultAlias: settings.defaultAlias,
    pollMs: settings.pollMs,
    defaults: model,
    snapshot: new RegistrySnapshot({ path: join(cache.dir, REGISTRY_FOLDER, `${name}.jsonl`), origin: known, clock }),
    clock,
    random: Math.random,
    onEvent,
  })
  const roots = settings.artifacts.filter((rule) => rule.startsWith('file:')).map((rule) => fileURLToPath(rule))
  const list = async (place: ArtifactPlace, signal: AbortSignal): Promise<readonly RemoteFile[]> => {
    if (place.kind === 's3') return await s3Files(await s3.open(), place, signal)
    if (place.kind === 'file') return await localFiles(place.dir, roots, signal)
    const files = await asMlflowFailure(artifacts.list(place.path, signal))
    return files.map(({ path, bytes }) => ({ path, bytes, location: proxyLocation(`${place.path}/${path}`) }))
  }
  const reader = artifactReader(mlflowReader(artifacts, signedReads), async () => s3Reader(await s3.open()))
  const remote = new RemoteStore({
    reader,
    sourceOf: mlflowFiles({
      rules,
      filesOf: (version) => registry.filesOf(version),
      downloadUri: (version, signal) =>
        asMlflowFailure(mlflow.downloadUri(names.theirs(version.name) ?? version.name, version.version, signal)),
      list,
      reader,
      maxThreads: settings.maxIntraOpThreads,
    }),
    staging: await deps.staging(),
    limits: REMOTE_STORE_LIMITS,
    replacedRetryMs: settings.pollMs,
    clock,
    random: Math.random,
    onEvent,
  })
  return {
    registry,
    store: new MlflowStore({
      store: remote,
      maxThreads: settings.maxIntraOpThreads,
      onSaid: (version, said) => registry.learn(version, said),
      onEvent,
    }),
    async close() {
      await remote.close()
      await signedReads.close()
      await http.close()
      await s3.close()
    },
  }
}

/** Which of the readers a file is for, its location says. */
function artifactReader(proxy: ObjectReader, s3: () => Promise<ObjectReader>): ObjectReader {
  return {
    // A file without an ETag, as those behind the proxy, is read from its first byte each time.
    ranges: true,
    answerMs: (file) => (isS3Uri(file.location) || isLocalFile(file) ? undefined : proxy.answerMs?.(file)),
    async read(file, from, to, signal) {
      if (isS3Uri(file.location)) return await (await s3()).read(file, from, to, signal)
      return await (isLocalFile(file) ? localReader : proxy).read(file, from, to, signal)
    },
  }
}

/** The SDK takes a tenth of a second and 35 MB: only where artifacts lie in S3. */
class LazyS3 {
  readonly #settings: Config['store']['s3']
  readonly #endpoint: string | undefined
  readonly #clock: Clock
  #opened: Promise<S3> | undefined

  constructor(settings: Config['store']['s3'], { s3Endpoint }: MlflowEnvironment, clock: Clock) {
    this.#settings = settings
    this.#endpoint = s3Endpoint
    this.#clock = clock
  }

  open(): Promise<S3> {
    this.#opened ??= this.#open()
    return this.#opened
  }

  async close(): Promise<void> {
    const s3 = await this.#opened?.catch(() => undefined)
    s3?.close()
  }

  async #open(): Promise<S3> {
    const { S3 } = await import('../clients/s3.ts')
    const { endpoint, region, pathStyle } = this.#settings
    return new S3({
      ...S3_CALLS,
      endpoint: this.#endpoint ?? endpoint,
      region,
      // Servers that MLflow is pointed at by that variable are hardly ever AWS.
      pathStyle: pathStyle || this.#endpoint !== undefined,
      maxConnections: REMOTE_STORE_LIMITS.parallelReads,
      clock: this.#clock,
    })
  }
}
