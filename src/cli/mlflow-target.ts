/** An MLflow server as something to publish to: reached as its own clients reach it; and what is said of what was done there. */
import { Mlflow } from '../clients/mlflow.ts'
import { MlflowArtifacts } from '../clients/mlflow-artifacts.ts'
import { MlflowHttp } from '../clients/mlflow-http.ts'
import type { S3Writer } from '../clients/s3-writer.ts'
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
import { UPLOAD_LIMITS } from './upload-limits.ts'

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
  const { uri, credentials, tls, workspace, s3Endpoint } = readMlflowEnvironment(server)
  if (uri === undefined)
    throw new ConfigError(['environment MLFLOW_TRACKING_URI: expected the http or https URL of an MLflow server'])
  const own = store.mlflow.workspace ?? workspace
  const http = new MlflowHttp({ uri, credentials, tls, workspace: own, clock, random: Math.random })
  const rules = { server: uri, allowed: store.mlflow.artifacts }
  const artifacts = new MlflowArtifacts(http, rules, clock)
  let opened: Promise<S3Writer> | undefined
  const openS3 = (): Promise<S3Writer> => {
    opened ??= openWriter(store.s3, s3Endpoint, clock)
    return opened
  }
  return {
    place: `mlflow+${uri}/${encodeURIComponent(name)}`,
    publish: (what, signal) =>
      publishToMlflow(new Mlflow(http), artifacts, clock, { ...what, name, rules, openS3 }, signal),
    async close() {
      await http.close()
      const writer = await opened?.catch(() => undefined)
      writer?.close()
    },
  }
}

/** The SDK takes a tenth of a second: only where it is used. */
async function openWriter(
  { endpoint, region, pathStyle }: Config['store']['s3'],
  s3Endpoint: string | undefined,
  clock: Clock,
): Promise<S3Writer> {
  const { S3Writer: Writer } = await import('../clients/s3-writer.ts')
  return new Writer({
    ...UPLOAD_LIMITS,
    endpoint: s3Endpoint ?? endpoint,
    region,
    // Servers that MLflow is pointed at by that variable are hardly ever AWS.
    pathStyle: pathStyle || s3Endpoint !== undefined,
    clock,
  })
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
