/**
 * S3 as modelmux reads it: lists, ranges of immutable objects, small texts. Every call takes a signal and ends with an S3Error or the
 * signal's reason.
 */
import type { Readable } from 'node:stream'
import type { GetObjectCommandOutput, S3Client } from '@aws-sdk/client-s3'
import { GetObjectCommand, HeadObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import type { Clock } from '../lib/clock.ts'
import { countedBody } from './s3-body.ts'
import type { S3ObjectName, S3Options } from './s3-client.ts'
import { ask, makeClient } from './s3-client.ts'
import { S3Error } from './s3-error.ts'

/** An object as a list tells of it. */
export interface S3Listed {
  readonly key: string
  readonly bytes: number
  readonly etag: string
  /** Milliseconds since 1970 by the server's clock. */
  readonly modifiedMs: number
}

export interface S3PageRequest {
  readonly bucket: string
  readonly prefix: string
  /** The `next` of the page before. */
  readonly from?: string | undefined
  /** Instead of `from`: the first key of the page is a greater one than this. */
  readonly after?: string | undefined
  readonly limit: number
}

export interface S3Page {
  /** In the order of their keys' bytes. */
  readonly objects: readonly S3Listed[]
  /** Continues the list; undefined at its end. */
  readonly next: string | undefined
}

export interface S3ObjectFacts {
  readonly bytes: number
  readonly etag: string
  readonly versionId: string | undefined
  /** Hex, as its publisher noted it in the object's metadata, or as S3 checked it over the full object. */
  readonly sha256: string | undefined
  /** Base64; over the full object. */
  readonly crc64nvme: string | undefined
  readonly crc32: string | undefined
}

const SHA256_HEX = /^[0-9a-f]{64}$/

export class S3 {
  readonly #client: S3Client
  readonly #clock: Clock
  readonly #textMs: number

  constructor(options: S3Options) {
    this.#client = makeClient(options)
    this.#clock = options.clock
    this.#textMs = options.answerTimeoutMs
  }

  /** One page of the objects whose keys begin with `prefix`. */
  async list({ bucket, prefix, from, after, limit }: S3PageRequest, signal?: AbortSignal): Promise<S3Page> {
    const page = await ask(signal, (options) =>
      this.#client.send(
        new ListObjectsV2Command({
          Bucket: bucket,
          Prefix: prefix,
          ContinuationToken: from,
          StartAfter: from === undefined ? after : undefined,
          MaxKeys: limit,
          // A key may hold characters that XML has no way to write.
          EncodingType: 'url',
        }),
        options,
      ),
    )
    const isEncoded = page.EncodingType === 'url'
    const objects = (page.Contents ?? []).flatMap(({ Key, Size, ETag, LastModified }): S3Listed[] =>
      Key === undefined || Size === undefined || ETag === undefined
        ? []
        : [
            {
              key: isEncoded ? decodedKey(Key) : Key,
              bytes: Size,
              etag: ETag,
              modifiedMs: LastModified?.getTime() ?? 0,
            },
          ],
    )
    const next = page.IsTruncated === true ? page.NextContinuationToken : undefined
    if (page.IsTruncated === true && next === undefined)
      throw new S3Error('unavailable', 'S3 sent a list that does not say how it goes on')
    return { objects, next }
  }

  async head({ bucket, key, versionId, etag }: S3ObjectName, signal?: AbortSignal): Promise<S3ObjectFacts> {
    const found = await ask(signal, (options) =>
      this.#client.send(
        new HeadObjectCommand({
          Bucket: bucket,
          Key: key,
          VersionId: versionId,
          IfMatch: etag,
          ChecksumMode: 'ENABLED',
        }),
        options,
      ),
    )
    const { ContentLength: bytes, ETag: foundEtag } = found
    if (bytes === undefined || foundEtag === undefined)
      throw new S3Error('unavailable', 'S3 did not say how large the object is')
    const isWhole = found.ChecksumType !== 'COMPOSITE' && ![found.ChecksumSHA256, found.ChecksumCRC32].some(isOfParts)
    const noted = found.Metadata?.sha256?.toLowerCase()
    const checked = isWhole && found.ChecksumSHA256 !== undefined ? hexOf(found.ChecksumSHA256) : undefined
    return {
      bytes,
      etag: foundEtag,
      versionId: found.VersionId === 'null' ? undefined : found.VersionId,
      sha256: noted !== undefined && SHA256_HEX.test(noted) ? noted : checked,
      crc64nvme: isWhole ? found.ChecksumCRC64NVME : undefined,
      crc32: isWhole ? found.ChecksumCRC32 : undefined,
    }
  }

  /**
   * Bytes `from` (included) to `to` (not included) of the very object that is named: when another one is there, `replaced`.
   * The stream ends with an error unless it gave all of them; take it to its end, leave the loop, or abort.
   */
  async read(name: S3ObjectName, from: number, to: number, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const found = await ask(signal, (options) =>
      this.#client.send(
        new GetObjectCommand({
          Bucket: name.bucket,
          Key: name.key,
          VersionId: name.versionId,
          IfMatch: name.etag,
          Range: `bytes=${from}-${to - 1}`,
        }),
        options,
      ),
    )
    const body = found.Body as Readable | undefined
    const problem = rangeProblem(found, name, from, to)
    if (body === undefined || problem !== undefined) {
      body?.on('error', () => undefined)
      body?.destroy()
      throw problem ?? new S3Error('unavailable', 'S3 sent an answer without a body')
    }
    return countedBody(body, to - from, signal)
  }

  /**
   * A small object as text, whose body has as long to come as its headers: nobody watches it for silence.
   * @throws S3Error `refused` when it is larger than `maxBytes`
   */
  async readText(name: S3ObjectName, bytes: number, maxBytes: number, signal?: AbortSignal): Promise<string> {
    if (bytes > maxBytes) throw new S3Error('refused', `it has ${bytes} bytes, at most ${maxBytes} are allowed`)
    if (bytes === 0) return ''
    const late = new AbortController()
    const either = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal])
    const body = await this.read(name, 0, bytes, either)
    const timer = this.#clock.after(this.#textMs, () =>
      late.abort(new S3Error('unavailable', 'S3 stopped in the middle of an answer')),
    )
    try {
      const chunks: Uint8Array[] = []
      for await (const chunk of body) chunks.push(chunk)
      return Buffer.concat(chunks).toString('utf8')
    } finally {
      timer.cancel()
    }
  }

  /** Ends idle connections. */
  close(): void {
    this.#client.destroy()
  }
}

/** A server that does not know `If-Match` or ranges answers with something else than was asked for, and a 200. */
function rangeProblem(
  { ContentRange, ContentLength, ETag }: Pick<GetObjectCommandOutput, 'ContentRange' | 'ContentLength' | 'ETag'>,
  { etag }: S3ObjectName,
  from: number,
  to: number,
): S3Error | undefined {
  if (etag !== undefined && ETag !== undefined && etag !== ETag)
    return new S3Error('replaced', 'S3 has another object there by now')
  const range = /^bytes (\d+)-(\d+)\//.exec(ContentRange ?? '')
  const isAsked = range === null ? from === 0 : Number(range[1]) === from && Number(range[2]) === to - 1
  // The range asked for, cut short by whatever lies between: the next answer may be whole.
  if (range !== null && isAsked && ContentLength !== to - from)
    return new S3Error('unavailable', `S3 sent ${ContentLength ?? 'no count'} of ${to - from} bytes`)
  if (!isAsked || ContentLength !== to - from)
    return new S3Error(
      'refused',
      'S3 did not answer with the range asked for: the server does not know ranges, or the object is another',
    )
  return undefined
}

/** A key of a list that was asked for with `EncodingType: url`, and so written. */
export function decodedKey(key: string): string {
  try {
    return decodeURIComponent(key.replace(/\+/g, ' '))
  } catch {
    return key
  }
}

/** `...-2`: over the checksums of two parts, not over the object. */
function isOfParts(checksum: string | undefined): boolean {
  return checksum?.includes('-') === true
}

function hexOf(base64: string): string | undefined {
  const hex = Buffer.from(base64, 'base64').toString('hex')
  return SHA256_HEX.test(hex) ? hex : undefined
}
