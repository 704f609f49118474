/** What the registry and the store want of S3, said in their words. */
import type { S3 } from '../clients/s3.ts'
import type { S3ObjectName } from '../clients/s3-client.ts'
import type { S3ErrorKind } from '../clients/s3-error.ts'
import { S3Error } from '../clients/s3-error.ts'
import { GatewayError } from '../domain/errors.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { RemoteFile, RemoteSource } from '../domain/remote-source.ts'
import type { S3Folder } from '../domain/s3-uri.ts'
import { parseS3Location, s3Location } from '../domain/s3-uri.ts'
import {
  parseSharedFiles,
  remoteFileOf,
  SHARED_FILES,
  SHARED_FILES_MAX_BYTES,
  SharedFilesError,
} from '../domain/shared-blobs.ts'
import { SOURCE_BOUNDS } from '../domain/source-identity.ts'
import { Semaphore } from '../lib/semaphore.ts'
import type { ReadSmall } from '../registry/remote-sidecar.ts'
import { UnreadableError } from '../registry/remote-sidecar.ts'
import type { ListPage } from '../registry/s3-listing.ts'
import { SIDECAR_MAX_BYTES } from '../registry/sidecar.ts'
import type { ObjectReader, ReadFailureKind } from '../store/object-reader.ts'
import { ReadFailure } from '../store/object-reader.ts'

const FAILURES: Readonly<Record<S3ErrorKind, ReadFailureKind>> = {
  'not-found': 'missing',
  forbidden: 'denied',
  // A request that S3 refuses for good is not mended by another try.
  refused: 'denied',
  replaced: 'replaced',
  range: 'replaced',
  'slow-down': 'slow-down',
  unavailable: 'unavailable',
}
/** Objects of one version that are asked about at a time. */
const MAX_HEADS = 8
/** S3 gives no more in one page. */
const LIST_OBJECTS = 1000

export function s3Lister(s3: S3): ListPage {
  return (request, signal) => s3.list(request, signal)
}

export function s3SmallReader(s3: S3, { bucket, prefix }: S3Folder): ReadSmall {
  return async ({ path, bytes, etag }) => {
    try {
      return await s3.readText({ bucket, key: `${prefix}${path}`, etag }, bytes, SIDECAR_MAX_BYTES)
    } catch (error) {
      if (!(error instanceof S3Error)) throw error
      // Replaced or gone since it was listed: the next listing has the one to read.
      const isFinal = error.kind === 'refused' || error.kind === 'forbidden'
      throw new UnreadableError(error.message, isFinal)
    }
  }
}

export function s3Reader(s3: S3): ObjectReader {
  return {
    ranges: true,
    read: (file, from, to, signal) => asFailure(s3.read(nameOf(file), from, to, signal)),
  }
}

/**
 * The source of a version with what S3 knows of its objects and a listing does not say: their versions, their digests, and which blobs
 * of the models folder are files of it. One call an object of its own, all of a version side by side.
 */
export function s3Sources(
  s3: S3,
  root: S3Folder,
  sourceOf: (version: ModelVersion) => RemoteSource,
): (version: ModelVersion, signal: AbortSignal) => Promise<RemoteSource> {
  return async (version, signal) => {
    const turns = new Semaphore(MAX_HEADS)
    const found = sourceOf(version).files.map((file) =>
      turns.use(
        async () =>
          file.path === SHARED_FILES ? await shared(s3, root, file, signal) : [await described(s3, file, signal)],
        signal,
      ),
    )
    return { files: (await Promise.all(found)).flat() }
  }
}

/** Every file of a folder, with what S3 knows of it. @throws ReadFailure, GatewayError ARTIFACT_INVALID for too many */
export async function s3Files(s3: S3, { bucket, prefix }: S3Folder, signal: AbortSignal): Promise<RemoteFile[]> {
  const listed: RemoteFile[] = []
  let from: string | undefined
  do {
    const page = await asFailure(s3.list({ bucket, prefix, from, limit: LIST_OBJECTS }, signal))
    for (const { key, bytes, etag } of page.objects) {
      // Some tools keep a folder as an empty object.
      if (!key.endsWith('/'))
        listed.push({ path: key.slice(prefix.length), bytes, location: s3Location(bucket, key), etag })
    }
    if (listed.length > SOURCE_BOUNDS.maxFiles)
      throw new GatewayError('ARTIFACT_INVALID', `a version has more than ${SOURCE_BOUNDS.maxFiles} files`)
    from = page.next
  } while (from !== undefined)
  const turns = new Semaphore(MAX_HEADS)
  return await Promise.all(listed.map((file) => turns.use(() => described(s3, file, signal), signal)))
}

async function shared(s3: S3, root: S3Folder, file: RemoteFile, signal: AbortSignal): Promise<RemoteFile[]> {
  const text = await asFailure(s3.readText(nameOf(file), file.bytes, SHARED_FILES_MAX_BYTES, signal))
  try {
    return parseSharedFiles(text).map((one) => remoteFileOf(one, root))
  } catch (error) {
    if (!(error instanceof SharedFilesError)) throw error
    throw new GatewayError('ARTIFACT_INVALID', `the ${SHARED_FILES} of a version cannot be used: ${error.message}`)
  }
}

async function described(s3: S3, file: RemoteFile, signal: AbortSignal): Promise<RemoteFile> {
  const { bytes, versionId, sha256, crc64nvme, crc32 } = await asFailure(s3.head(nameOf(file), signal))
  if (bytes !== file.bytes) throw new ReadFailure('replaced', `'${file.path}' has ${bytes} bytes by now`)
  return {
    ...file,
    ...(versionId === undefined ? {} : { versionId }),
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(crc64nvme === undefined ? {} : { crc64nvme }),
    ...(crc32 === undefined ? {} : { crc32 }),
  }
}

function nameOf({ location, versionId, etag }: RemoteFile): S3ObjectName {
  return { ...parseS3Location(location), versionId, etag }
}

async function asFailure<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    if (error instanceof S3Error) throw new ReadFailure(FAILURES[error.kind], error.message)
    throw error
  }
}
