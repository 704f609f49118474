/** Removes objects from S3 for good: where a bucket keeps old versions, those and the marks of removed ones too. */
import type { ListObjectVersionsCommandOutput, S3Client } from '@aws-sdk/client-s3'
import { DeleteObjectCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import { decodedKey } from './s3.ts'
import type { S3Options } from './s3-client.ts'
import { ask, makeClient } from './s3-client.ts'
import { S3Error } from './s3-error.ts'

/** An object as it is or as it was, or the mark of its removal. */
export interface S3Kept {
  readonly key: string
  /** Undefined in buckets that keep one version only. */
  readonly versionId: string | undefined
  readonly bytes: number
  /** It can be read under its key. */
  readonly isCurrent: boolean
}

interface Marker {
  readonly KeyMarker?: string
  readonly VersionIdMarker?: string
}

const PAGE = 1000

export class S3Eraser {
  readonly #client: S3Client

  constructor(options: S3Options) {
    this.#client = makeClient(options)
  }

  /** All that is kept under a prefix. @throws S3Error, `refused` for more than `limit` */
  async list(bucket: string, prefix: string, limit: number, signal: AbortSignal): Promise<S3Kept[]> {
    const kept: S3Kept[] = []
    let at: Marker | undefined = {}
    while (at !== undefined) {
      const command = new ListObjectVersionsCommand({
        Bucket: bucket,
        Prefix: prefix,
        MaxKeys: PAGE,
        // A key may hold characters that XML has no way to write.
        EncodingType: 'url',
        ...at,
      })
      const page = await ask(signal, (options) => this.#client.send(command, options))
      const textOf = (key: string): string => (page.EncodingType === 'url' ? decodedKey(key) : key)
      for (const { Key, VersionId, Size, IsLatest } of page.Versions ?? [])
        if (Key !== undefined)
          kept.push({ key: textOf(Key), versionId: idOf(VersionId), bytes: Size ?? 0, isCurrent: IsLatest === true })
      for (const { Key, VersionId } of page.DeleteMarkers ?? [])
        if (Key !== undefined) kept.push({ key: textOf(Key), versionId: idOf(VersionId), bytes: 0, isCurrent: false })
      if (kept.length > limit) throw new S3Error('refused', `there are more than ${limit} objects`)
      at = nextOf(page, textOf)
    }
    return kept
  }

  /** There need not be such an object. */
  async erase(bucket: string, { key, versionId }: S3Kept, signal: AbortSignal): Promise<void> {
    await ask(signal, (options) =>
      this.#client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key, VersionId: versionId }), options),
    )
  }

  /** Ends idle connections. */
  close(): void {
    this.#client.destroy()
  }
}

function nextOf(
  { IsTruncated, NextKeyMarker, NextVersionIdMarker }: ListObjectVersionsCommandOutput,
  textOf: (key: string) => string,
): Marker | undefined {
  if (IsTruncated !== true) return undefined
  if (NextKeyMarker === undefined) throw new S3Error('unavailable', 'S3 sent a list that does not say how it goes on')
  return {
    KeyMarker: textOf(NextKeyMarker),
    ...(NextVersionIdMarker === undefined ? {} : { VersionIdMarker: NextVersionIdMarker }),
  }
}

function idOf(versionId: string | undefined): string | undefined {
  return versionId === undefined || versionId === 'null' || versionId === '' ? undefined : versionId
}
