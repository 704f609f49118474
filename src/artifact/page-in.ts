/**
 * Brings files' pages into the page cache before a worker maps them, so that no worker waits for a disk with all its other models
 * behind it. Warm files are told from cold ones by one byte in a megabyte (some 6 ms for 102 MB in 53 files, a full read takes
 * 20): did the kernel have to go to the disk for any of them, or did they come late? Only what is cold is read, in large
 * asynchronous reads at a bounded rate.
 *
 * Latency alone would not do: a virtual disk behind a host's cache answers a cold read in 0.1 ms, and leaves a worker with
 * 20,000 of them. The count alone would not either: file systems in user space do not take part in it.
 */
import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../lib/clock.ts'
import { pause } from '../lib/clock.ts'
import { Semaphore } from '../lib/semaphore.ts'

export interface PageInOptions {
  /** Ceiling for reads of cold files, all models together. */
  readonly bytesPerSecond: number
  /** A file that was warm is taken to be warm for so long. */
  readonly warmMs: number
  /** Bytes that this process's reads had to fetch from disks so far; undefined = not known here, and then everything is read. */
  readonly diskReadBytes: () => Promise<number | undefined>
}

const CHUNK_BYTES = 4 * 1024 * 1024
/** One sample each: every read is some 25 µs of the event loop, 20 ms for 102 MB at the kernel's read-ahead of 128 KiB. */
const SAMPLE_STEP_BYTES = 1024 * 1024
const SAMPLES_AT_ONCE = 4
/** A cached byte comes in some 0.03 ms through the thread pool; a slow disk or a network takes longer than this. */
const COLD_MS = 0.5
/** Of all samples, how many may be slow by chance: a busy machine looks like a slow disk, and a slow disk is slow throughout. */
const SLOW_SHARE = 0.25
/** Files of a few samples are read outright: that is as cheap as telling. */
const SMALL_BYTES = 256 * 1024
const MAX_REMEMBERED = 100_000

export interface PagedFile {
  readonly path: string
  readonly bytes: number
}

interface Samples {
  readonly samples: number
  /** Of them, those that came late. */
  readonly slow: number
}

export class Pager {
  readonly #options: PageInOptions
  readonly #clock: Clock
  readonly #warmUntil = new LRUCache<string, number>({ max: MAX_REMEMBERED })
  /** One buffer, one read at a time: files take turns chunk by chunk, so a big one delays a small one by a chunk. */
  readonly #buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  readonly #turn = new Semaphore(1)
  /** When the rate allows the next chunk. */
  #nextMs = 0

  constructor(options: PageInOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
  }

  /** Makes all files warm. @throws the signal's reason, or the file system's error */
  async pageIn(
    files: readonly PagedFile[],
    signal?: AbortSignal,
  ): Promise<{ readonly readBytes: number; readonly isCold: boolean }> {
    const unknown = files.filter(({ path }) => (this.#warmUntil.get(path) ?? 0) <= this.#clock.now())
    if (unknown.length === 0) return { readBytes: 0, isCold: false }
    const isCold = await this.#isCold(unknown, signal)
    let readBytes = 0
    for (const file of unknown) {
      // What is small was read whole to tell.
      if (isCold && file.bytes > SMALL_BYTES) await this.#readAll(file, signal)
      if (isCold) readBytes += file.bytes
      this.markWarm(file.path)
    }
    return { readBytes, isCold }
  }

  /** The file was just written, or just read by somebody else. */
  markWarm(path: string): void {
    this.#warmUntil.set(path, this.#clock.now() + this.#options.warmMs)
  }

  /** Did any of the samples come from a disk? One look at the count for all files: it is the process's, not a file's. */
  async #isCold(files: readonly PagedFile[], signal?: AbortSignal): Promise<boolean> {
    const { diskReadBytes } = this.#options
    const before = await diskReadBytes()
    let samples = 0
    let slow = 0
    for (const file of files) {
      signal?.throwIfAborted()
      const taken = await this.#sample(file, signal)
      samples += taken.samples
      slow += taken.slow
    }
    const after = await diskReadBytes()
    return slow > samples * SLOW_SHARE || before === undefined || after === undefined || after > before
  }

  /** Reads a byte of every step, or all of a small file. */
  async #sample({ path, bytes }: PagedFile, signal?: AbortSignal): Promise<Samples> {
    const file = await open(path, 'r')
    try {
      return bytes <= SMALL_BYTES ? await this.#sampleSmall(file, bytes, signal) : await this.#sampleSteps(file, bytes)
    } finally {
      await file.close()
    }
  }

  async #sampleSmall(file: FileHandle, bytes: number, signal?: AbortSignal): Promise<Samples> {
    if (bytes === 0) return { samples: 0, slow: 0 }
    return await this.#turn.use(async () => {
      const started = this.#clock.now()
      await file.read(this.#buffer, 0, bytes, 0)
      return { samples: 1, slow: this.#clock.now() - started >= COLD_MS ? 1 : 0 }
    }, signal)
  }

  async #sampleSteps(file: FileHandle, bytes: number): Promise<Samples> {
    // The last byte too: what came in last goes last.
    const samples = Math.ceil(bytes / SAMPLE_STEP_BYTES) + 1
    let next = 0
    let slow = 0
    const lane = async () => {
      const byte = Buffer.allocUnsafe(1)
      while (next < samples) {
        const at = Math.min(next++ * SAMPLE_STEP_BYTES, bytes - 1)
        const started = this.#clock.now()
        await file.read(byte, 0, 1, at)
        if (this.#clock.now() - started >= COLD_MS) slow++
      }
    }
    await Promise.all(Array.from({ length: SAMPLES_AT_ONCE }, lane))
    return { samples, slow }
  }

  async #readAll({ path, bytes }: PagedFile, signal?: AbortSignal): Promise<void> {
    const file = await open(path, 'r')
    try {
      for (let at = 0; at < bytes; at += CHUNK_BYTES) {
        await this.#readChunk(file, at, Math.min(CHUNK_BYTES, bytes - at), signal)
      }
    } finally {
      await file.close()
    }
  }

  async #readChunk(file: FileHandle, at: number, bytes: number, signal?: AbortSignal): Promise<void> {
    await this.#turn.use(async () => {
      const wait = this.#nextMs - this.#clock.now()
      if (wait > 0) await pause(this.#clock, wait, signal)
      this.#nextMs = Math.max(this.#nextMs, this.#clock.now()) + (bytes / this.#options.bytesPerSecond) * 1000
      await file.read(this.#buffer, 0, bytes, at)
    }, signal)
  }
}
