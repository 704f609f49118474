/**
 * Brings one remote object into a file, in ranges read side by side. What breaks off goes on at the byte; what the other side says
 * of lengths and ends is counted, never believed.
 */
import type { FileHandle } from 'node:fs/promises'
import type { RemoteFile } from '../domain/remote-source.ts'
import { type BackoffOptions, fullJitterMs } from '../lib/backoff.ts'
import type { Clock } from '../lib/clock.ts'
import { pause } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import { giveBack } from '../lib/give-back.ts'
import { canResume, type ObjectReader, ReadFailure } from './object-reader.ts'
import { ReadGate } from './read-gate.ts'

export interface DownloadLimits {
  readonly rangeBytes: number
  /** Ranges of one object at a time. */
  readonly parallel: number
  /** Silence after which a read is given up and begun again where it stopped. */
  readonly idleMs: number
  /** Reads in a row that brought nothing before the object is given up. */
  readonly maxTries: number
  readonly backoff: BackoffOptions
}

export interface DownloadParts {
  readonly reader: ObjectReader
  /** Shared by all downloads of this process. */
  readonly gate: ReadGate
  readonly limits: DownloadLimits
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
}

export interface DownloadWatch {
  /** So many bytes more are written; negative when a read that cannot be resumed begins anew. */
  onBytes(bytes: number): void
  /** The first `bytes` bytes of the file are written; less than before when they are written anew. */
  onPrefix(bytes: number): void
}

interface Range {
  readonly from: number
  readonly to: number
  /** The next byte wanted. */
  at: number
}

/** Chunks of 16 to 64 KiB are written together: each write is a trip through the thread pool. */
const WRITE_BYTES = 512 * 1024
/** What comes slowly is written all the same, so that whoever asks is told of it. */
const WRITE_MS = 250
const IDLE_CHECKS = 4

/** @throws ReadFailure, an error of the file system, or the signal's reason; nothing is written any more then */
export async function downloadObject(
  file: RemoteFile,
  target: FileHandle,
  parts: DownloadParts,
  watch: DownloadWatch,
  signal: AbortSignal,
): Promise<void> {
  await new ObjectDownload(file, target, parts, watch).run(signal)
}

class ObjectDownload {
  readonly #file: RemoteFile
  readonly #target: FileHandle
  readonly #parts: DownloadParts
  readonly #watch: DownloadWatch
  readonly #isResumable: boolean
  readonly #ranges: readonly Range[]
  readonly #own: ReadGate
  /** Index of the first range that is not complete. */
  #firstOpen = 0

  constructor(file: RemoteFile, target: FileHandle, parts: DownloadParts, watch: DownloadWatch) {
    this.#file = file
    this.#target = target
    this.#parts = parts
    this.#watch = watch
    this.#isResumable = canResume(parts.reader, file)
    this.#ranges = split(file.bytes, this.#isResumable ? parts.limits.rangeBytes : file.bytes)
    this.#own = new ReadGate(parts.limits.parallel)
  }

  async run(signal: AbortSignal): Promise<void> {
    // One allocation of blocks in order, and a disk quota that is too small says so now.
    await this.#target.truncate(this.#file.bytes)
    const failed = new AbortController()
    const either = AbortSignal.any([signal, failed.signal])
    const queue = this.#ranges.values()
    const lane = async (): Promise<void> => {
      for (const range of queue) await this.#complete(range, either)
    }
    const lanes = Array.from({ length: Math.min(this.#parts.limits.parallel, this.#ranges.length) }, async () => {
      try {
        await lane()
      } catch (error) {
        failed.abort(error)
        throw error
      }
    })
    // All have stopped writing before the file is anybody else's.
    await Promise.allSettled(lanes)
    either.throwIfAborted()
  }

  async #complete(range: Range, signal: AbortSignal): Promise<void> {
    const { clock, limits, gate, random } = this.#parts
    for (let tries = 1; range.at < range.to; tries++) {
      const before = range.at
      try {
        await this.#own.use(() => gate.use(() => this.#read(range, signal), isSlowDown, signal), isSlowDown, signal)
        return
      } catch (error) {
        signal.throwIfAborted()
        const failure = passing(error)
        if (!this.#isResumable) this.#rewind(range)
        else if (range.at > before) tries = 1
        if (tries >= limits.maxTries) throw failure
        await pause(clock, Math.max(failure.retryAfterMs ?? 0, fullJitterMs(tries, limits.backoff, random)), signal)
      }
    }
  }

  async #read(range: Range, signal: AbortSignal): Promise<void> {
    const { reader, clock, limits } = this.#parts
    const idle = new AbortController()
    const either = AbortSignal.any([signal, idle.signal])
    let heardAt = clock.now()
    let writtenAt = heardAt
    let mayBeSilentMs = Math.max(limits.idleMs, reader.answerMs?.(this.#file) ?? 0)
    const timer = clock.every(limits.idleMs / IDLE_CHECKS, () => {
      const silentMs = clock.now() - heardAt
      if (silentMs < mayBeSilentMs) return
      idle.abort(new ReadFailure('unavailable', `the store sent nothing for ${Math.round(silentMs / 1000)} s`))
    })
    const pending: Uint8Array[] = []
    let pendingBytes = 0
    const flush = async (): Promise<void> => {
      if (pendingBytes === 0) return
      const chunks = pending.splice(0)
      pendingBytes = 0
      await this.#write(range, chunks)
      // The disk's time is not the store's silence.
      heardAt = clock.now()
      writtenAt = heardAt
    }
    try {
      for await (const chunk of this.#chunks(() => reader.read(this.#file, range.at, range.to, either), either)) {
        heardAt = clock.now()
        mayBeSilentMs = limits.idleMs
        if (range.at + pendingBytes + chunk.length > range.to) {
          pending.length = 0
          pendingBytes = 0
          throw new ReadFailure('unavailable', 'the store sent more bytes than were asked for')
        }
        pending.push(chunk)
        pendingBytes += chunk.length
        if (pendingBytes >= WRITE_BYTES || clock.now() - writtenAt >= WRITE_MS) await flush()
      }
      await flush()
    } catch (error) {
      // What arrived in good order before the end is kept: the next read begins behind it.
      if (!signal.aborted) await flush()
      throw error
    } finally {
      timer.cancel()
      // Whatever is left of the answer ends with it.
      idle.abort()
    }
    if (range.at < range.to) {
      const wanted = `${range.to - range.at} of ${range.to - range.from} bytes`
      throw new ReadFailure('unavailable', `the store ended its answer early: ${wanted} are missing`)
    }
  }

  /** Ends with the signal also where the source neither ends nor fails: bodies of HTTP answers have been seen to hang after an abort. */
  async *#chunks(
    open: () => Promise<AsyncIterable<Uint8Array>>,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const { promise: aborted, reject } = Promise.withResolvers<never>()
    aborted.catch(() => {})
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    let chunks: AsyncIterator<Uint8Array> | undefined
    try {
      signal.throwIfAborted()
      const opening = open()
      // Once nobody waits for it, its failure is nobody's.
      opening.catch(() => {})
      chunks = (await Promise.race([opening, aborted]))[Symbol.asyncIterator]()
      for (;;) {
        const next = chunks.next()
        next.catch(() => {})
        const result = await Promise.race([next, aborted])
        if (result.done === true) return
        yield result.value
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
      // Not waited for: what does not answer would not answer to this either.
      detach(Promise.resolve(chunks?.return?.()).then(ignore, ignore))
    }
  }

  async #write(range: Range, chunks: Uint8Array[]): Promise<void> {
    let rest = chunks
    while (rest.length > 0) {
      const { bytesWritten } = await this.#target.writev(rest, range.at).catch((error: unknown) => {
        throw new DiskTrouble(error)
      })
      range.at += bytesWritten
      this.#watch.onBytes(bytesWritten)
      rest = after(rest, bytesWritten)
    }
    for (const chunk of chunks) giveBack(chunk)
    while ((this.#ranges[this.#firstOpen]?.at ?? -1) === this.#ranges[this.#firstOpen]?.to) this.#firstOpen++
    this.#watch.onPrefix(this.#ranges[this.#firstOpen]?.at ?? this.#file.bytes)
  }

  #rewind(range: Range): void {
    this.#watch.onBytes(range.from - range.at)
    range.at = range.from
    this.#firstOpen = 0
    this.#watch.onPrefix(0)
  }
}

function split(bytes: number, rangeBytes: number): Range[] {
  const ranges: Range[] = []
  for (let from = 0; from < bytes; from += rangeBytes)
    ranges.push({ from, to: Math.min(bytes, from + rangeBytes), at: from })
  return ranges
}

/** What one write left of its buffers. */
function after(chunks: readonly Uint8Array[], written: number): Uint8Array[] {
  const rest: Uint8Array[] = []
  let skip = written
  for (const chunk of chunks) {
    if (skip < chunk.length) rest.push(skip === 0 ? chunk : chunk.subarray(skip))
    skip = Math.max(0, skip - chunk.length)
  }
  return rest
}

function isSlowDown(error: unknown): boolean {
  return error instanceof ReadFailure && error.kind === 'slow-down'
}

/** Carries an error of the disk past those of the network, which have the same codes. */
class DiskTrouble extends Error {
  constructor(cause: unknown) {
    super('the file cannot be written', { cause })
  }
}

/** The failure, when another try may help. @throws it when not, and errors of this machine's disk as they are */
function passing(error: unknown): ReadFailure {
  if (error instanceof ReadFailure) {
    if (error.kind === 'unavailable' || error.kind === 'slow-down') return error
    throw error
  }
  if (error instanceof DiskTrouble) throw error.cause
  return new ReadFailure('unavailable', 'the connection to the store failed', { cause: error })
}

function ignore(): void {}
