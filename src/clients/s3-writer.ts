/**
 * Writes to S3: small objects in one piece, files in parts side by side. Each carries its SHA-256 as metadata, where readers look for it,
 * and a checksum over the whole that the server verifies before it takes the object.
 */
import type { FileHandle } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import type { S3Client } from '@aws-sdk/client-s3'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import type { Clock } from '../lib/clock.ts'
import { pause } from '../lib/clock.ts'
import { Semaphore } from '../lib/semaphore.ts'
import type { S3ObjectName, S3Options } from './s3-client.ts'
import { ask, makeClient } from './s3-client.ts'
import { S3Error } from './s3-error.ts'

/** A file to upload, or a stretch of one. */
export interface UploadedFile {
  readonly file: FileHandle
  /** The first byte; 0 when it is not said. */
  readonly from?: number
  readonly bytes: number
  /** Hex. */
  readonly sha256: string
  /** So many bytes more are at the server. */
  readonly onBytes: (bytes: number) => void
}

/** S3 takes parts of 5 MiB to 5 GiB, and 10,000 of them. */
const MIN_PART_BYTES = 16 * 2 ** 20
const MAX_PARTS = 10_000
const PARALLEL_PARTS = 4
const ABANDON_TRIES = 10
const ABANDON_PAUSE_MS = 100

/** What has to be there: the object with that ETag; null: none. */
interface Over {
  readonly etag: string | null
}

interface Part {
  readonly PartNumber: number
  readonly ETag: string | undefined
  readonly ChecksumCRC32: string
}

export class S3Writer {
  readonly #client: S3Client
  readonly #clock: Clock

  constructor(options: S3Options) {
    this.#client = makeClient(options)
    this.#clock = options.clock
  }

  /**
   * Writes a small object.
   * @throws S3Error `replaced` when something else is there
   */
  async put(
    { bucket, key }: S3ObjectName,
    body: Uint8Array,
    sha256: string,
    { over, signal }: { readonly over?: Over; readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    await ask(signal, (options) =>
      this.#client.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: key,
          Body: body,
          Metadata: { sha256 },
          ChecksumSHA256: Buffer.from(sha256, 'hex').toString('base64'),
          ...condition(over),
        }),
        options,
      ),
    )
  }

  /**
   * Writes an object from a file, which must not change meanwhile. What a failed upload left behind is removed.
   * @throws S3Error `replaced` where `over` (as for `put`) is not what is there
   */
  async upload(name: S3ObjectName, upload: UploadedFile, signal?: AbortSignal, over?: Over): Promise<void> {
    if (upload.bytes <= MIN_PART_BYTES) {
      const body = await piece(upload, 0, upload.bytes)
      await this.put(name, body, upload.sha256, {
        ...(over === undefined ? {} : { over }),
        ...(signal === undefined ? {} : { signal }),
      })
      upload.onBytes(upload.bytes)
      return
    }
    const { bucket: Bucket, key: Key } = name
    const { UploadId } = await ask(signal, (options) =>
      this.#client.send(
        new CreateMultipartUploadCommand({
          Bucket,
          Key,
          Metadata: { sha256: upload.sha256 },
          ChecksumAlgorithm: 'CRC32',
          ChecksumType: 'FULL_OBJECT',
        }),
        options,
      ),
    )
    if (UploadId === undefined) throw new S3Error('unavailable', 'S3 began an upload without a name')
    try {
      const parts = await this.#parts(name, UploadId, upload, signal)
      await ask(signal, (options) =>
        this.#client.send(
          new CompleteMultipartUploadCommand({
            Bucket,
            Key,
            UploadId,
            ChecksumType: 'FULL_OBJECT',
            MultipartUpload: { Parts: parts },
            ...condition(over),
          }),
          options,
        ),
      )
    } catch (error) {
      await this.#abandon(name, UploadId)
      throw error
    }
  }

  /** There need not be such an object. */
  async delete({ bucket, key }: S3ObjectName, signal?: AbortSignal): Promise<void> {
    await ask(signal, (options) => this.#client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }), options))
  }

  /** Ends idle connections. */
  close(): void {
    this.#client.destroy()
  }

  /** Without the signal of the upload: what was interrupted is paid for until it is aborted. */
  async #abandon({ bucket: Bucket, key: Key }: S3ObjectName, UploadId: string): Promise<void> {
    for (let tries = 1; tries <= ABANDON_TRIES; tries++) {
      try {
        await ask(undefined, (options) =>
          this.#client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }), options),
        )
      } catch (error) {
        if (error instanceof S3Error && error.kind === 'not-found') return
      }
      // A part that was on its way may have arrived meanwhile, or stood in the way: only "there is none" is the end.
      await pause(this.#clock, ABANDON_PAUSE_MS)
    }
  }

  async #parts(name: S3ObjectName, id: string, upload: UploadedFile, signal: AbortSignal | undefined): Promise<Part[]> {
    const partBytes = Math.max(MIN_PART_BYTES, Math.ceil(upload.bytes / MAX_PARTS))
    const starts = Array.from({ length: Math.ceil(upload.bytes / partBytes) }, (_, index) => index * partBytes)
    const failed = new AbortController()
    const either = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal])
    const turns = new Semaphore(PARALLEL_PARTS)
    const sending = starts.map((from, index) =>
      turns.use(async (): Promise<Part> => {
        try {
          return await this.#part(name, id, index + 1, await piece(upload, from, from + partBytes), upload, either)
        } catch (error) {
          failed.abort(error)
          throw error
        }
      }, either),
    )
    // None is still sending when the upload is aborted.
    await Promise.allSettled(sending)
    return await Promise.all(sending)
  }

  async #part(
    { bucket, key }: S3ObjectName,
    id: string,
    number: number,
    body: Buffer,
    { onBytes }: UploadedFile,
    signal: AbortSignal,
  ): Promise<Part> {
    const checksum = Buffer.alloc(4)
    checksum.writeUInt32BE(crc32(body))
    const ChecksumCRC32 = checksum.toString('base64')
    const { ETag } = await ask(signal, (options) =>
      this.#client.send(
        new UploadPartCommand({
          Bucket: bucket,
          Key: key,
          UploadId: id,
          PartNumber: number,
          Body: body,
          ChecksumCRC32,
        }),
        options,
      ),
    )
    onBytes(body.length)
    return { PartNumber: number, ETag, ChecksumCRC32 }
  }
}

function condition(over: Over | undefined): { readonly IfNoneMatch?: string; readonly IfMatch?: string } {
  if (over === undefined) return {}
  return over.etag === null ? { IfNoneMatch: '*' } : { IfMatch: over.etag }
}

/** @throws S3Error `refused` when the file is shorter by now */
async function piece({ file, from: start = 0, bytes }: UploadedFile, from: number, to: number): Promise<Buffer> {
  const body = Buffer.alloc(Math.min(to, bytes) - from)
  for (let done = 0; done < body.length; ) {
    const { bytesRead } = await file.read(body, done, body.length - done, start + from + done)
    if (bytesRead === 0) throw new S3Error('refused', 'the file became shorter while it was uploaded')
    done += bytesRead
  }
  return body
}
