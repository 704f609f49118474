/** What the registry and the store want of S3, said in their words. */
import type { S3 } from '../clients/s3.ts'
import { S3Error } from '../clients/s3-error.ts'
import type { S3Folder } from '../domain/s3-uri.ts'
import type { ReadSmall } from '../registry/remote-sidecar.ts'
import { UnreadableError } from '../registry/remote-sidecar.ts'
import type { ListPage } from '../registry/s3-listing.ts'
import { SIDECAR_MAX_BYTES } from '../registry/sidecar.ts'

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
