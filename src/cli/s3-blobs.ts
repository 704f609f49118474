/** Brings blobs to where the versions of a models folder share them. What is there stays; two that bring the same one do no harm. */
import type { S3 } from '../clients/s3.ts'
import { S3Error } from '../clients/s3-error.ts'
import type { S3Writer } from '../clients/s3-writer.ts'
import type { S3Folder } from '../domain/s3-uri.ts'
import { blobKey } from '../domain/shared-blobs.ts'
import { eachOf } from '../lib/each-of.ts'
import { type LocalFile, withFile } from './local-version.ts'

/** Many tensors are small: round trips are what they cost. */
const PARALLEL_HEADS = 8
const PARALLEL_UPLOADS = 4

interface MissingBlob {
  readonly blob: LocalFile
  /** Of what is there under its name and is not it. */
  readonly etag: string | null
}

/** Those of the blobs that are not there. @throws S3Error, the signal's reason */
export async function missingBlobs(
  s3: S3,
  root: S3Folder,
  blobs: readonly LocalFile[],
  signal: AbortSignal,
): Promise<MissingBlob[]> {
  const found = await eachOf(blobs, PARALLEL_HEADS, signal, async (blob): Promise<MissingBlob[]> => {
    const name = { bucket: root.bucket, key: blobKey(root, blob.sha256) }
    try {
      const { bytes, sha256, etag } = await s3.head(name, signal)
      return bytes === blob.bytes && sha256 === blob.sha256 ? [] : [{ blob, etag }]
    } catch (error) {
      if (error instanceof S3Error && error.kind === 'not-found') return [{ blob, etag: null }]
      throw error
    }
  })
  return found.flat()
}

/** @throws S3Error, the signal's reason */
export async function uploadBlobs(
  s3: S3,
  writer: S3Writer,
  root: S3Folder,
  missing: readonly MissingBlob[],
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  await eachOf(missing, PARALLEL_UPLOADS, signal, async ({ blob, etag }) => {
    try {
      await upload(writer, root, blob, onBytes, signal, { etag })
    } catch (error) {
      if (!(error instanceof S3Error) || error.kind !== 'replaced') throw error
      // Somebody else was at it: with the same bytes, or in vain.
      if ((await missingBlobs(s3, root, [blob], signal)).length > 0)
        await upload(writer, root, blob, () => undefined, signal)
    }
  })
}

async function upload(
  writer: S3Writer,
  root: S3Folder,
  { file, from, bytes, sha256 }: LocalFile,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
  over?: { readonly etag: string | null },
): Promise<void> {
  const name = { bucket: root.bucket, key: blobKey(root, sha256) }
  await withFile(file, (handle) => writer.upload(name, { file: handle, from, bytes, sha256, onBytes }, signal, over))
}
