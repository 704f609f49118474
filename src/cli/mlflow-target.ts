/** An MLflow server as something to publish to: reached as its own clients reach it; and what is said of what was done there. */
import { Mlflow } from '../clients/mlflow.ts'
import { MlflowArtifacts } from '../clients/mlflow-artifacts.ts'
import { MlflowHttp } from '../clients/mlflow-http.ts'
import { ConfigError } from '../config/config-error.ts'
import { readMlflowEnvironment } from '../config/mlflow-environment.ts'
import type { Config } from '../config/schema.ts'
import type { MlflowModelPlace } from '../domain/mlflow-uri.ts'
import { formatByteSize } from '../lib/byte-size.ts'
import type { Clock } from '../lib/clock.ts'
import { sumBytes } from './local-version.ts'
import type { MlflowPublishOptions, PublishedToMlflow } from './publish-mlflow.ts'
import { publishToMlflow } from './publish-mlflow.ts'
import { visible } from './text.ts'

export interface MlflowTarget {
  /** `mlflow+http://host:5000/NAME`, for people. */
  readonly place: string
  /** @throws what `publishToMlflow` throws */
  publish(
    what: Pick<MlflowPublishOptions, 'dir' | 'aliases' | 'onProgress'>,
    signal: AbortSignal,
  ): Promise<PublishedToMlflow>
  close(): Promise<void>
}

/** @throws ConfigError for an environment that does not say where, or not as it should */
export function openMlflowTarget({ server, name }: MlflowModelPlace, { store }: Config, clock: Clock): MlflowTarget {
  const { uri, credentials, tls, workspace } = readMlflowEnvironment(server)
  if (uri === undefined)
    throw new ConfigError(['environment MLFLOW_TRACKING_URI: expected the http or https URL of an MLflow server'])
  const own = store.mlflow.workspace ?? workspace
  const http = new MlflowHttp({ uri, credentials, tls, workspace: own, clock, random: Math.random })
  const rules = { server: uri, allowed: [] }
  const artifacts = new MlflowArtifacts(http, rules, clock)
  return {
    place: `mlflow+${uri}/${encodeURIComponent(name)}`,
    publish: (what, signal) => publishToMlflow(new Mlflow(http), artifacts, clock, { ...what, name, rules }, signal),
    close: () => http.close(),
  }
}

export function mlflowReport(
  place: string,
  { version, isNew, files, movedAliases }: PublishedToMlflow,
  isJson: boolean,
): string {
  const bytes = sumBytes(files)
  const listed = files.map(({ path, bytes: size, sha256 }) => ({ path, bytes: size, sha256, isUploaded: isNew }))
  if (isJson)
    return `${JSON.stringify({ place, version, bytes, uploadedBytes: isNew ? bytes : 0, files: listed, movedAliases })}\n`
  const all = `${files.length} files, ${formatByteSize(bytes)}`
  const lines = [
    isNew
      ? `published ${place} as version ${version}: ${all}`
      : `${place} has these files already as version ${version}: ${all}`,
    ...movedAliases.map((alias) => `alias ${alias} names version ${version}`),
  ]
  return `${lines.map(visible).join('\n')}\n`
}
