/** The place in S3 where machines of a fleet share compiled models, in the words of the artifact room. */
import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import type { FleetOptions } from '../artifact/fleet-cache.ts'
import type { FleetContent, FleetObject, FleetPlace, PutOptions } from '../artifact/fleet-place.ts'
import { FleetTrouble } from '../artifact/fleet-place.ts'
import type { S3 } from '../clients/s3.ts'
import type { S3ObjectName } from '../clients/s3-client.ts'
import { S3Error } from '../clients/s3-error.ts'
import type { S3Writer } from '../clients/s3-writer.ts'
import type { Config } from '../config/schema.ts'
import { parseS3Folder, type S3Folder } from '../domain/s3-uri.ts'
import type { Clock } from '../lib/clock.ts'

/** Grows when other versions of this program could misread what is there. */
export const FLEET_LAYOUT = 'v1/'
const CONNECT_MS = 2000
/** A read that does not answer costs a cold start: its deadline ends it sooner. */
const READ_ANSWER_MS = 10_000
/** A part of 16 MiB must be through by then, also where the line is slow. */
const WRITE_ANSWER_MS = 300_000

export interface OpenFleetPlace {
  readonly fleet: FleetOptions
  close(): void
}

/** Undefined where nothing is shared. */
export async function openFleetPlace({ artifact, store }: Config, clock: Clock): Promise<OpenFleetPlace | undefined> {
  const { place, mode, ...limits } = artifact.fleetCache
  if (place === null) return undefined
  // The SDK takes a tenth of a second and 35 MB: only where it is used.
  const [{ S3 }, { S3Writer }] = await Promise.all([import('../clients/s3.ts'), import('../clients/s3-writer.ts')])
  const { endpoint, region, pathStyle } = store.s3
  const common = { endpoint, region, pathStyle, connectTimeoutMs: CONNECT_MS, clock }
  const maxConnections = 2 * limits.parallel
  const s3 = new S3({ ...common, attempts: 2, answerTimeoutMs: READ_ANSWER_MS, maxConnections })
  const writer = new S3Writer({ ...common, attempts: 3, answerTimeoutMs: WRITE_ANSWER_MS, maxConnections })
  return {
    fleet: { place: new S3FleetPlace(s3, writer, parseS3Folder(place)), sends: mode === 'readwrite', limits },
    close() {
      s3.close()
      writer.close()
    },
  }
}

class S3FleetPlace implements FleetPlace {
  readonly #s3: S3
  readonly #writer: S3Writer
  readonly #folder: S3Folder

  constructor(s3: S3, writer: S3Writer, folder: S3Folder) {
    this.#s3 = s3
    this.#writer = writer
    this.#folder = folder
  }

  async head(key: string, signal: AbortSignal): Promise<FleetObject | undefined> {
    try {
      return await this.#s3.head(this.#nameOf(key), signal)
    } catch (error) {
      if (error instanceof S3Error && error.kind === 'not-found') return undefined
      throw troubleOf(error, key)
    }
  }

  async read(key: string, bytes: number, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    try {
      return translated(await this.#s3.read(this.#nameOf(key), 0, bytes, signal), key)
    } catch (error) {
      // Too short an answer looks like one that was cut on its way, or like a server without ranges: the object says what it is.
      const isTold = error instanceof S3Error && (error.kind === 'unavailable' || error.kind === 'refused')
      const found = isTold ? await this.head(key, signal) : undefined
      if (found !== undefined && found.bytes !== bytes)
        throw new FleetTrouble('wrong', `it has ${found.bytes} bytes instead of ${bytes}`, key)
      throw troubleOf(error, key)
    }
  }

  async put(key: string, content: FleetContent, { sha256, over, signal }: PutOptions): Promise<boolean> {
    try {
      if (!Buffer.isBuffer(content)) await this.#upload(key, content, sha256, signal)
      else
        await this.#writer.put(this.#nameOf(key), content, sha256, {
          ...(over === 'nothing' ? { over: { etag: null } } : {}),
          signal,
        })
      return true
    } catch (error) {
      if (over === 'nothing' && error instanceof S3Error && error.kind === 'replaced') return false
      throw troubleOf(error, key)
    }
  }

  async #upload(
    key: string,
    { path, bytes }: Exclude<FleetContent, Buffer>,
    sha256: string,
    signal: AbortSignal,
  ): Promise<void> {
    let file: FileHandle | undefined
    try {
      file = await open(path)
      await this.#writer.upload(this.#nameOf(key), { file, bytes, sha256, onBytes: () => undefined }, signal)
    } finally {
      await file?.close()
    }
  }

  #nameOf(key: string): S3ObjectName {
    return { bucket: this.#folder.bucket, key: `${this.#folder.prefix}${FLEET_LAYOUT}${key}` }
  }
}

async function* translated(content: AsyncIterable<Uint8Array>, key: string): AsyncGenerator<Uint8Array> {
  try {
    yield* content
  } catch (error) {
    throw troubleOf(error, key)
  }
}

/** Anything that is not S3's goes as it is: the signal's reason, an error of the disk. */
function troubleOf(error: unknown, key: string): unknown {
  if (!(error instanceof S3Error)) return error
  if (error.kind === 'not-found') return new FleetTrouble('missing', 'there is no such object', key)
  return new FleetTrouble(error.kind === 'range' ? 'wrong' : 'unavailable', error.message, key)
}
