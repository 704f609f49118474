/**
 * From a version in MLflow to the files that are to be fetched: asks where they lie, looks whether that is allowed, lists them, and reads
 * the MLmodel among them, so that what is no ONNX model costs no download. A handful of calls, on the way to a fetch and never before.
 */
import { LRUCache } from 'lru-cache'
import type { ArtifactPlace, ArtifactRules } from '../domain/artifact-place.ts'
import { artifactPlaceOf, PlaceRefusedError } from '../domain/artifact-place.ts'
import { GatewayError } from '../domain/errors.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { RemoteFile, RemoteSource } from '../domain/remote-source.ts'
import { MODEL_FILES } from '../domain/source-identity.ts'
import type { Clock } from '../lib/clock.ts'
import { waitFor } from '../lib/wait-for.ts'
import type { MlflowFiles } from '../registry/mlflow-record.ts'
import { MLMODEL_FILE, MLMODEL_MAX_BYTES, MlModelError, parseMlModel } from '../registry/mlmodel.ts'
import { type ObjectReader, ReadFailure } from '../store/object-reader.ts'

export interface MlflowFilesParts {
  readonly rules: ArtifactRules
  /** What the registry knows of the version. @throws GatewayError for one that it does not know any more */
  readonly filesOf: (version: ModelVersion) => MlflowFiles
  /** Hostile text. @throws ReadFailure */
  readonly downloadUri: (version: ModelVersion, signal: AbortSignal) => Promise<string>
  /** Every file of a folder. @throws ReadFailure, GatewayError */
  readonly list: (place: ArtifactPlace, signal: AbortSignal) => Promise<readonly RemoteFile[]>
  readonly reader: ObjectReader
  /** What an MLmodel may ask for at most. */
  readonly maxThreads: number
  readonly clock: Clock
}

/** Where a version lies does not change for as long as it is the same version. */
const REMEMBERED = 10_000
/** Tries of the one small read that is made before the fetch. */
const TRIES = 3
/** Each of them, to its last byte. */
const TRY_MS = 30_000

export function mlflowFiles(
  parts: MlflowFilesParts,
): (version: ModelVersion, signal: AbortSignal) => Promise<RemoteSource> {
  const places = new LRUCache<string, ArtifactPlace>({ max: REMEMBERED })
  return async (version, signal) => {
    const { digests } = parts.filesOf(version)
    const place = places.get(version.sourceId) ?? placeIn(await parts.downloadUri(version, signal), parts.rules)
    places.set(version.sourceId, place)
    // What copying tools and editors leave is no part of a model, here as in a folder.
    const files = (await parts.list(place, signal)).filter(({ path }) => !/(^|\/)\./.test(path))
    const sha256 = new Map(digests)
    return {
      files: files.map((file) => {
        const digest = sha256.get(file.path)
        return digest === undefined ? file : { ...file, sha256: digest }
      }),
      modelFile: await modelFileOf(version, files, parts, signal),
    }
  }
}

/** @throws ReadFailure */
function placeIn(uri: string, rules: ArtifactRules): ArtifactPlace {
  try {
    return artifactPlaceOf(uri, rules)
  } catch (error) {
    if (error instanceof PlaceRefusedError) throw new ReadFailure('denied', error.message)
    throw error
  }
}

async function modelFileOf(
  version: ModelVersion,
  files: readonly RemoteFile[],
  { reader, maxThreads, clock }: MlflowFilesParts,
  signal: AbortSignal,
): Promise<string> {
  if (files.length === 0) throw new ReadFailure('missing', 'there are no files where MLflow says that they are')
  const mlmodel = files.find(({ path }) => path === MLMODEL_FILE)
  if (mlmodel === undefined) {
    // Somebody registered a folder with an ONNX file in it: what it is, the file says itself.
    const bare = MODEL_FILES.find((name) => files.some(({ path }) => path === name))
    if (bare === undefined) throw unusable(version, `it has neither ${MLMODEL_FILE} nor ${MODEL_FILES[0]}`)
    return bare
  }
  if (mlmodel.bytes > MLMODEL_MAX_BYTES)
    throw unusable(version, `its ${MLMODEL_FILE} has ${mlmodel.bytes} bytes, at most ${MLMODEL_MAX_BYTES} are allowed`)
  const text = await readText(reader, mlmodel, clock, signal)
  try {
    return parseMlModel(text, maxThreads).modelFile
  } catch (error) {
    if (error instanceof MlModelError) throw unusable(version, error.message)
    throw error
  }
}

async function readText(reader: ObjectReader, file: RemoteFile, clock: Clock, signal: AbortSignal): Promise<string> {
  if (file.bytes === 0) return ''
  for (let tries = 1; ; tries++) {
    const late = new AbortController()
    const timer = clock.after(TRY_MS, () =>
      late.abort(new ReadFailure('unavailable', `its ${MLMODEL_FILE} is slow to come`)),
    )
    const either = AbortSignal.any([signal, late.signal])
    try {
      // What does not end with the signal is not waited for.
      return await waitFor(wholeText(reader, file, either), either)
    } catch (error) {
      signal.throwIfAborted()
      const isPassing = error instanceof ReadFailure && error.kind === 'unavailable'
      if (!isPassing || tries >= TRIES) throw error
    } finally {
      timer.cancel()
    }
  }
}

/** As many bytes as were listed: readers leave that to whoever reads. */
async function wholeText(reader: ObjectReader, file: RemoteFile, signal: AbortSignal): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of await reader.read(file, 0, file.bytes, signal)) {
    bytes += chunk.length
    if (bytes > file.bytes) break
    chunks.push(chunk)
  }
  if (bytes === file.bytes) return Buffer.concat(chunks).toString('utf8')
  throw new ReadFailure('unavailable', `its ${MLMODEL_FILE} came with another size than it was listed with`)
}

function unusable({ name, version }: ModelVersion, reason: string): GatewayError {
  return new GatewayError('ARTIFACT_INVALID', `version ${version} of '${name}' cannot be used: ${reason}`)
}
