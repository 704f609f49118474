/** Models in an MLflow registry. */
import { Mlflow } from '../clients/mlflow.ts'
import { MlflowHttp } from '../clients/mlflow-http.ts'
import { ConfigError } from '../config/config-error.ts'
import { readMlflowEnvironment } from '../config/mlflow-environment.ts'
import { mlflowServerOf } from '../domain/mlflow-uri.ts'
import { MlflowRegistry } from '../registry/mlflow-registry.ts'
import { REMOTE_STORE_LIMITS, RemoteStore } from '../store/remote-store.ts'
import { ArtifactPlaces } from './artifact-places.ts'
import { knownModels } from './known-models.ts'
import { asMlflowFailure, MlflowNames, mlflowReads } from './mlflow-access.ts'
import { mlflowFiles } from './mlflow-files.ts'
import { MlflowStore } from './mlflow-store.ts'
import type { OpenSource, SourceDeps, SourcePlace } from './source-place.ts'

/** @throws ConfigError for an environment that does not say what it should */
export async function openMlflow({ models, prefix }: SourcePlace, deps: SourceDeps): Promise<OpenSource> {
  const { clock, onEvent } = deps
  const { store, model } = deps.config
  const { pollMs, defaultAlias, maxIntraOpThreads: maxThreads, ...settings } = store.mlflow
  const { uri, credentials, tls, s3Endpoint, ...environment } = readMlflowEnvironment(mlflowServerOf(models))
  if (uri === undefined)
    throw new ConfigError([
      `models of ${JSON.stringify(models)}: expected MLFLOW_REGISTRY_URI or MLFLOW_TRACKING_URI to be the http or https URL of an MLflow server`,
    ])
  const workspace = settings.workspace ?? environment.workspace
  const rules = { server: uri, allowed: settings.artifacts }
  const connection = { uri, credentials, tls, workspace, clock, random: Math.random }
  const http = new MlflowHttp(connection)
  const mlflow = new Mlflow(http)
  const artifacts = new ArtifactPlaces({ mlflow: connection, rules, s3: store.s3, s3Endpoint, clock })
  const names = new MlflowNames(prefix)
  const origin = [uri, ...(workspace === undefined ? [] : [workspace])].join(' ')
  const known = ['mlflow', origin, defaultAlias ?? '', prefix].join(' ')
  const registry = new MlflowRegistry({
    reads: mlflowReads(mlflow, names),
    place: uri,
    origin,
    defaultAlias,
    pollMs,
    defaults: model,
    snapshot: knownModels(known, deps),
    clock,
    random: Math.random,
    onEvent,
  })
  const remote = new RemoteStore({
    reader: artifacts.reader,
    sourceOf: mlflowFiles({
      rules,
      filesOf: (version) => registry.filesOf(version),
      downloadUri: (version, signal) =>
        asMlflowFailure(mlflow.downloadUri(names.theirs(version.name) ?? version.name, version.version, signal)),
      list: (place, signal) => artifacts.list(place, signal),
      reader: artifacts.reader,
      maxThreads,
      clock,
    }),
    staging: await deps.staging(),
    limits: REMOTE_STORE_LIMITS,
    replacedRetryMs: pollMs,
    clock,
    random: Math.random,
    onEvent,
  })
  return {
    registry,
    store: new MlflowStore({
      store: remote,
      maxThreads,
      onSaid: (version, said) => registry.learn(version, said),
      onEvent,
    }),
    async close() {
      await remote.close()
      await artifacts.close()
      await http.close()
    },
  }
}
