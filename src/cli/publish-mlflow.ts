/**
 * Brings the files of a folder to an MLflow registry as a version of a model. MLflow lets the files of a version lie in the place of a run
 * and nowhere else, so a run is made for them; the version comes last, when all is there. A version with the same files is not made twice.
 */
import { type FileHandle, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { Mlflow } from '../clients/mlflow.ts'
import type { MlflowVersion } from '../clients/mlflow-answers.ts'
import type { MlflowArtifacts } from '../clients/mlflow-artifacts.ts'
import { MlflowError } from '../clients/mlflow-error.ts'
import type { S3Writer } from '../clients/s3-writer.ts'
import { type ArtifactRules, artifactPlaceOf, PlaceRefusedError } from '../domain/artifact-place.ts'
import { nameFilter } from '../domain/mlflow-filter.ts'
import { digestsIn, digestTag } from '../domain/mlflow-tags.ts'
import type { S3Folder } from '../domain/s3-uri.ts'
import type { Clock } from '../lib/clock.ts'
import { pause } from '../lib/clock.ts'
import type { LocalFile, TellProgress } from './local-version.ts'
import { isModelFile, NotPublishableError, readVersion, stepMeter, sumBytes, withFile } from './local-version.ts'
import { withMlModel } from './mlmodel.ts'

export interface MlflowPublishOptions {
  readonly dir: string
  readonly name: string
  /** Aliases that name the version afterwards. */
  readonly aliases: readonly string[]
  readonly rules: ArtifactRules
  /** For artifacts that lie in S3, where the rules allow that; absent = they go nowhere but through the proxy. */
  readonly openS3?: () => Promise<S3Writer>
  readonly onProgress: TellProgress
}

export interface PublishedToMlflow {
  readonly version: string
  /** False: a version with these files was there. */
  readonly isNew: boolean
  readonly files: readonly LocalFile[]
  /** Aliases that named another version, or none, before. */
  readonly movedAliases: readonly string[]
}

/** Of the runs that hold what was published. */
const EXPERIMENT = 'modelmux'
/** The folder of a run's place that is the version's. */
const FOLDER = 'model'
/** The newest versions, among which one with the same files is looked for. */
const NEWEST = 100
/** What MLflow takes for the key of a tag. A file that has another name is held against no digest. */
const TAG_KEY = /^[\p{L}\p{N}_./ :-]{1,250}$/u
const TRIES = 3
const RETRY_MS = 1000

/** @throws NotPublishableError, MlflowError, S3Error, the signal's reason */
export async function publishToMlflow(
  mlflow: Mlflow,
  artifacts: MlflowArtifacts,
  clock: Clock,
  options: MlflowPublishOptions,
  signal: AbortSignal,
): Promise<PublishedToMlflow> {
  const workDir = await mkdtemp(join(tmpdir(), 'modelmux-publish-'))
  try {
    const files = await withMlModel(await readVersion(options.dir, options.onProgress, signal), workDir)
    return await publishFiles(mlflow, artifacts, clock, files, options, signal)
  } finally {
    await rm(workDir, { recursive: true, force: true })
  }
}

async function publishFiles(
  mlflow: Mlflow,
  artifacts: MlflowArtifacts,
  clock: Clock,
  files: readonly LocalFile[],
  options: MlflowPublishOptions,
  signal: AbortSignal,
): Promise<PublishedToMlflow> {
  const { name, aliases } = options
  await mlflow.createModel(name, signal).catch((error: unknown) => {
    if (!(error instanceof MlflowError && error.kind === 'conflict')) throw error
  })
  const same = await versionWith(mlflow, name, files, signal)
  const version = same?.version ?? (await newVersion(mlflow, artifacts, clock, files, options, signal))
  const named = new Map((await mlflow.model(name, signal)).aliases)
  const movedAliases = aliases.filter((alias) => named.get(alias) !== version)
  for (const alias of movedAliases) await mlflow.setAlias(name, alias, version, signal)
  return { version, isNew: same === undefined, files, movedAliases }
}

/** Digests are all that tells: versions without them are others. */
async function versionWith(
  mlflow: Mlflow,
  name: string,
  files: readonly LocalFile[],
  signal: AbortSignal,
): Promise<MlflowVersion | undefined> {
  const tags = new Map(files.map(({ path, sha256 }) => [digestTag(path), sha256]))
  const wanted = JSON.stringify(digestsIn(tags))
  const filter = nameFilter(name)
  if (filter === undefined) return undefined
  const { versions } = await mlflow.searchVersions({ filter, limit: NEWEST }, signal)
  return versions.find((version) => version.status === 'READY' && JSON.stringify(digestsIn(version.tags)) === wanted)
}

async function newVersion(
  mlflow: Mlflow,
  artifacts: MlflowArtifacts,
  clock: Clock,
  files: readonly LocalFile[],
  { name, rules, openS3, onProgress }: MlflowPublishOptions,
  signal: AbortSignal,
): Promise<string> {
  const experimentId = (await mlflow.experiment(EXPERIMENT, signal)) ?? (await newExperiment(mlflow, signal))
  const { runId, artifactUri } = await mlflow.createRun({ experimentId, name, startMs: clock.wall() }, signal)
  try {
    const place = placeOf(artifactUri, rules, openS3)
    const onBytes = stepMeter('upload', sumBytes(files), onProgress)
    const inOrder = [
      ...files.filter(({ path }) => !isModelFile(path)),
      ...files.filter(({ path }) => isModelFile(path)),
    ]
    for (const file of inOrder) {
      const path = `${FOLDER}/${file.path}`
      if (place.kind === 'proxy') await upload(artifacts, clock, `${place.path}/${path}`, file, onBytes, signal)
      else await uploadToS3(place, path, file, onBytes, signal)
    }
    const digests = files.map(({ path, sha256 }) => [digestTag(path), sha256] as const)
    const tags = new Map(digests.filter(([key]) => TAG_KEY.test(key)))
    const source = `${artifactUri}/${FOLDER}`
    const { version } = await mlflow.createVersion({ name, source, runId, tags }, signal)
    await mlflow.endRun({ runId, status: 'FINISHED', endMs: clock.wall() }, signal)
    return version
  } catch (error) {
    // Also when this was interrupted: the run would seem to be under way for ever.
    await mlflow.endRun({ runId, status: 'FAILED', endMs: clock.wall() }).catch(() => undefined)
    throw error
  }
}

/** Two that publish for the first time at once are both right. */
async function newExperiment(mlflow: Mlflow, signal: AbortSignal): Promise<string> {
  try {
    return await mlflow.createExperiment(EXPERIMENT, signal)
  } catch (error) {
    const others =
      error instanceof MlflowError && error.kind === 'conflict'
        ? await mlflow.experiment(EXPERIMENT, signal)
        : undefined
    if (others === undefined) throw error
    return others
  }
}

type UploadPlace =
  | { readonly kind: 'proxy'; readonly path: string }
  | (S3Folder & { readonly kind: 's3'; readonly openS3: () => Promise<S3Writer> })

function placeOf(artifactUri: string, rules: ArtifactRules, openS3: MlflowPublishOptions['openS3']): UploadPlace {
  try {
    const place = artifactPlaceOf(artifactUri, rules)
    if (place.kind === 'proxy') return place
    if (place.kind === 's3' && openS3 !== undefined) return { ...place, openS3 }
  } catch (error) {
    if (!(error instanceof PlaceRefusedError)) throw error
    throw new NotPublishableError(
      `this MLflow server keeps artifacts where its proxy does not reach (it was started without --serve-artifacts or with another --default-artifact-root): ${error.message}; allow the place in store.mlflow.artifacts, or log the model with MLflow itself`,
    )
  }
  throw new NotPublishableError(
    'this MLflow server keeps artifacts in folders of its machine, which its proxy does not reach; log the model with MLflow itself',
  )
}

async function uploadToS3(
  { bucket, prefix, openS3 }: Extract<UploadPlace, { kind: 's3' }>,
  path: string,
  { file, from, bytes, sha256 }: LocalFile,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const writer = await openS3()
  await withFile(file, (handle) =>
    writer.upload({ bucket, key: `${prefix}${path}` }, { file: handle, from, bytes, sha256, onBytes }, signal),
  )
}

async function upload(
  artifacts: MlflowArtifacts,
  clock: Clock,
  path: string,
  { file, from, bytes }: LocalFile,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  for (let tries = 1; ; tries++) {
    let sent = 0
    const count = (done: number): void => {
      sent += done
      onBytes(done)
    }
    try {
      await withFile(file, (handle) => artifacts.write(path, contentOf(handle, from, bytes, count), bytes, signal))
      return
    } catch (error) {
      signal.throwIfAborted()
      onBytes(-sent)
      const isPassing = error instanceof MlflowError && (error.kind === 'unavailable' || error.kind === 'slow-down')
      if (!isPassing || tries >= TRIES) throw error
      await pause(clock, RETRY_MS * tries, signal)
    }
  }
}

function contentOf(
  handle: FileHandle,
  from: number,
  bytes: number,
  onBytes: (bytes: number) => void,
): Readable | Uint8Array {
  if (bytes === 0) return new Uint8Array()
  const chunks = handle.createReadStream({ start: from, end: from + bytes - 1, autoClose: false })
  return Readable.from(counted(chunks, onBytes), { objectMode: false })
}

async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    yield chunk
    onBytes(chunk.length)
  }
}
