/**
 * The files of MLflow's artifacts wherever they may lie: behind the server's proxy or at addresses that it signs, in S3, in folders of this
 * machine. Has connections of its own, so that files that take long leave those of the registry free.
 */
import { fileURLToPath } from 'node:url'
import { MlflowArtifacts } from '../clients/mlflow-artifacts.ts'
import type { MlflowHttpOptions } from '../clients/mlflow-http.ts'
import { MLFLOW_LIMITS, MlflowHttp } from '../clients/mlflow-http.ts'
import type { S3 } from '../clients/s3.ts'
import { SignedReads } from '../clients/signed-reads.ts'
import type { Config } from '../config/schema.ts'
import type { ArtifactPlace, ArtifactRules } from '../domain/artifact-place.ts'
import { proxyLocation } from '../domain/artifact-place.ts'
import type { RemoteFile } from '../domain/remote-source.ts'
import { isS3Uri } from '../domain/s3-uri.ts'
import type { Clock } from '../lib/clock.ts'
import type { ObjectReader } from '../store/object-reader.ts'
import { REMOTE_STORE_LIMITS } from '../store/remote-store.ts'
import { isLocalFile, localFiles, localReader } from './local-artifacts.ts'
import { asMlflowFailure, mlflowReader } from './mlflow-access.ts'
import { s3Files, s3Reader } from './s3-access.ts'

export interface ArtifactPlacesOptions {
  /** As to the registry. */
  readonly mlflow: MlflowHttpOptions
  readonly rules: ArtifactRules
  readonly s3: Config['store']['s3']
  /** URL of the S3 server in place of that of `s3`. */
  readonly s3Endpoint: string | undefined
  readonly clock: Clock
}

const { parallelReads, parallelSources, idleMs } = REMOTE_STORE_LIMITS
/** Reads of files, and a list or an MLmodel for each source beside them. */
const MAX_CONNECTIONS = parallelReads + parallelSources
const S3_TIMES = { connectTimeoutMs: 5000, answerTimeoutMs: 20_000 }
const S3_ATTEMPTS = 3

export class ArtifactPlaces {
  readonly reader: ObjectReader
  readonly #options: ArtifactPlacesOptions
  readonly #http: MlflowHttp
  readonly #artifacts: MlflowArtifacts
  readonly #signedReads: SignedReads
  /** Folders of this machine that are allowed. */
  readonly #roots: readonly string[]
  #s3: Promise<{ readonly calls: S3; readonly reads: S3 }> | undefined

  constructor(options: ArtifactPlacesOptions) {
    const { mlflow, rules, clock } = options
    this.#options = options
    this.#http = new MlflowHttp({ ...mlflow, limits: { ...mlflow.limits, maxConnections: MAX_CONNECTIONS } })
    this.#artifacts = new MlflowArtifacts(this.#http, rules, clock)
    this.#signedReads = new SignedReads({
      rules,
      connectMs: MLFLOW_LIMITS.connectMs,
      answerMs: S3_TIMES.answerTimeoutMs,
      idleMs,
      maxConnections: parallelReads,
      clock,
    })
    this.#roots = rules.allowed.filter((rule) => rule.startsWith('file:')).map((rule) => fileURLToPath(rule))
    this.reader = this.#readerOf(mlflowReader(this.#artifacts, this.#signedReads))
  }

  /** Every file of a place that is allowed. @throws ReadFailure, GatewayError ARTIFACT_INVALID for what cannot be a version */
  async list(place: ArtifactPlace, signal: AbortSignal): Promise<readonly RemoteFile[]> {
    if (place.kind === 's3') return await s3Files((await this.#openS3()).calls, place, signal)
    if (place.kind === 'file') return await localFiles(place.dir, this.#roots, signal)
    const files = await asMlflowFailure(this.#artifacts.list(place.path, signal))
    return files.map(({ path, bytes }) => ({ path, bytes, location: proxyLocation(`${place.path}/${path}`) }))
  }

  /** Ends what is under way. Idempotent. */
  async close(): Promise<void> {
    await this.#signedReads.close()
    await this.#http.close()
    const s3 = await this.#s3?.catch(() => undefined)
    s3?.calls.close()
    s3?.reads.close()
  }

  /** Which of the readers a file is for, its location says. */
  #readerOf(proxy: ObjectReader): ObjectReader {
    return {
      // A file without an ETag, as those behind the proxy, is read from its first byte each time.
      ranges: true,
      answerMs: (file) => (isS3Uri(file.location) || isLocalFile(file) ? undefined : proxy.answerMs?.(file)),
      read: async (file, from, to, signal) => {
        if (isS3Uri(file.location)) return await s3Reader((await this.#openS3()).reads).read(file, from, to, signal)
        return await (isLocalFile(file) ? localReader : proxy).read(file, from, to, signal)
      },
    }
  }

  /** The SDK takes a tenth of a second and 35 MB: only where artifacts lie in S3. */
  #openS3(): Promise<{ readonly calls: S3; readonly reads: S3 }> {
    const open = async () => {
      const { S3 } = await import('../clients/s3.ts')
      const { s3, s3Endpoint, clock } = this.#options
      const common = {
        ...S3_TIMES,
        endpoint: s3Endpoint ?? s3.endpoint,
        region: s3.region,
        // Servers that MLflow is pointed at by a variable of its own are hardly ever AWS.
        pathStyle: s3.pathStyle || s3Endpoint !== undefined,
        maxConnections: parallelReads,
        clock,
      }
      // A fetch begins again by itself.
      return { calls: new S3({ ...common, attempts: S3_ATTEMPTS }), reads: new S3({ ...common, attempts: 1 }) }
    }
    this.#s3 ??= open()
    return this.#s3
  }
}
