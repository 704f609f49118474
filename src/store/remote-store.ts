/**
 * Versions whose bytes lie elsewhere: fetched into the staging folder, one flight for all that ask for the same source. The flight is
 * the store's: a caller that leaves ends its own wait. A source stays locked against other processes until every caller released it.
 */
import { GatewayError } from '../domain/errors.ts'
import type { FetchProgress } from '../domain/fetch-progress.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { RemoteFile, RemoteSource } from '../domain/remote-source.ts'
import type { Clock } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import { Semaphore } from '../lib/semaphore.ts'
import { waitFor } from '../lib/wait-for.ts'
import { DigestThread } from './digest-thread.ts'
import { FetchDeadlineError, FetchFailures, fetchError, isDiskFull } from './fetch-failures.ts'
import { ProgressMeter } from './fetch-progress.ts'
import type { DownloadLimits } from './object-download.ts'
import { type ObjectReader, ReadFailure } from './object-reader.ts'
import { ReadGate } from './read-gate.ts'
import { CorruptObjectError } from './source-fetch.ts'
import type { Staging } from './staging.ts'
import type { FoundSource, StagingPlace } from './staging-place.ts'
import type { StagedSource, Store } from './store.ts'
import { bringFiles, checked } from './version-files.ts'

export interface RemoteStoreLimits extends DownloadLimits {
  /** Sources of this process that are being fetched or used at a time: each has a lock and open files. */
  readonly parallelSources: number
  /** Reads of this process at a time, of all objects. */
  readonly parallelReads: number
  /** A fetch from its first byte to its last, whatever it retries. */
  readonly totalMs: number
  /** What an archive may unpack to. */
  readonly unpackedBytes: number
}

export const REMOTE_STORE_LIMITS: RemoteStoreLimits = {
  rangeBytes: 8 * 2 ** 20,
  parallel: 8,
  parallelSources: 32,
  parallelReads: 32,
  idleMs: 10_000,
  maxTries: 6,
  backoff: { baseMs: 100, maxMs: 5_000 },
  totalMs: 1_800_000,
  unpackedBytes: 16 * 2 ** 30,
}

export interface RemoteStoreOptions {
  readonly reader: ObjectReader
  /**
   * In memory, or with a bounded number of calls for what the registry does not keep, such as digests.
   * @throws Error for a version that its registry does not know any more; ReadFailure
   */
  readonly sourceOf: (version: ModelVersion, signal: AbortSignal) => RemoteSource | Promise<RemoteSource>
  readonly staging: Staging
  readonly limits: RemoteStoreLimits
  /** When to ask again for a version whose objects were replaced: the registry has noticed by then. */
  readonly replacedRetryMs: number
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly onEvent: (name: string, fields: Readonly<Record<string, string | number | boolean>>) => void
}

/** A source that somebody waits for or uses. */
interface Use {
  readonly meter: ProgressMeter
  readonly ready: Promise<Held>
  users: number
}

interface Held {
  readonly source: FoundSource
  /** Lets others have the source, and the next its turn. Idempotent. */
  release(): Promise<void>
}

export class RemoteStore implements Store {
  readonly #options: RemoteStoreOptions
  readonly #gate: ReadGate
  readonly #turns: Semaphore
  readonly #digests = new DigestThread()
  readonly #failures: FetchFailures
  readonly #uses = new Map<string, Use>()
  /** Of `#uses`, what is still to be let go by those that have left it. */
  readonly #ending = new Set<Promise<void>>()
  readonly #closing = new AbortController()

  constructor(options: RemoteStoreOptions) {
    this.#options = options
    this.#gate = new ReadGate(options.limits.parallelReads)
    this.#turns = new Semaphore(options.limits.parallelSources)
    this.#failures = new FetchFailures(options.random)
  }

  async stage(version: ModelVersion, signal?: AbortSignal): Promise<StagedSource> {
    signal?.throwIfAborted()
    const { sourceId, modelFile } = version
    const remembered = this.#failures.current(sourceId, this.#options.clock.now())
    if (remembered !== undefined) throw remembered
    const use = this.#useOf(version)
    use.users++
    try {
      const { source } = await waitFor(use.ready, signal)
      const { record, dir } = source
      let isHeld = true
      return {
        dir,
        modelFile,
        files: record.files.map(({ path, bytes }) => ({ path, bytes })),
        bytes: record.bytes,
        isUnchanged: () => source.isUnchanged(),
        release: () => {
          if (isHeld) this.#leave(sourceId, use)
          isHeld = false
        },
      }
    } catch (error) {
      this.#leave(sourceId, use)
      throw error
    }
  }

  progressOf(key: string): FetchProgress | undefined {
    // A key ends with the id of its source.
    return this.#uses.get(key.slice(key.lastIndexOf('#') + 1))?.meter.read()
  }

  /** Refuses whoever waits, and ends every fetch. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort(new GatewayError('DRAINING', 'the server is shutting down'))
    for (const { ready } of this.#uses.values()) {
      const held = await ready.catch(() => undefined)
      await held?.release()
    }
    await Promise.all(this.#ending)
    await this.#digests.close()
  }

  #useOf(version: ModelVersion): Use {
    const { sourceId } = version
    const current = this.#uses.get(sourceId)
    if (current !== undefined) return current
    const meter = new ProgressMeter(version.bytes, this.#options.clock)
    const use: Use = { meter, ready: this.#hold(version, meter), users: 0 }
    this.#uses.set(sourceId, use)
    // The next to ask begins anew.
    use.ready.catch(() => this.#uses.delete(sourceId))
    return use
  }

  /** The last one out gives the source up, once it is there. */
  #leave(sourceId: string, use: Use): void {
    use.users--
    const end = async (): Promise<void> => {
      const held = await use.ready.catch(() => undefined)
      if (use.users > 0 || this.#uses.get(sourceId) !== use) return
      this.#uses.delete(sourceId)
      await held?.release()
    }
    if (use.users > 0) return
    const ending: Promise<void> = end().finally(() => this.#ending.delete(ending))
    this.#ending.add(ending)
    detach(ending)
  }

  /** Waits for its turn, which lasts until the source is released. */
  #hold(version: ModelVersion, meter: ProgressMeter): Promise<Held> {
    return new Promise((resolve, reject) => {
      const turn = async (): Promise<void> => {
        const { place, source } = await this.#obtain(version, meter)
        const { promise: released, resolve: free } = Promise.withResolvers<void>()
        const release = async (): Promise<void> => {
          await place.release(this.#options.clock.wall())
          free()
        }
        resolve({ source, release })
        await released
      }
      this.#turns.use(turn, this.#closing.signal).catch(reject)
    })
  }

  async #obtain(
    version: ModelVersion,
    meter: ProgressMeter,
  ): Promise<{ readonly place: StagingPlace; readonly source: FoundSource }> {
    const { staging, clock, limits, replacedRetryMs } = this.#options
    const { sourceId } = version
    const late = new AbortController()
    const deadline = clock.after(limits.totalMs, () => late.abort(new FetchDeadlineError(limits.totalMs)))
    const signal = AbortSignal.any([this.#closing.signal, late.signal])
    let place: StagingPlace | undefined
    try {
      place = await staging.take(sourceId, signal)
      const source = (await place.find(this.#digests)) ?? (await this.#fetch(version, place, meter, signal))
      this.#failures.forget(sourceId)
      return { place, source }
    } catch (thrown) {
      await place?.discard().catch(() => {})
      await place?.release(clock.wall())
      const error = fetchError(version, thrown, replacedRetryMs)
      this.#event('source.fetch-failed', version, { code: error.code, error: error.message })
      throw this.#failures.remember(sourceId, error, clock.now())
    } finally {
      deadline.cancel()
    }
  }

  async #fetch(
    version: ModelVersion,
    place: StagingPlace,
    meter: ProgressMeter,
    signal: AbortSignal,
  ): Promise<FoundSource> {
    const { staging, sourceOf } = this.#options
    const { files } = checked(version, await sourceOf(version, signal))
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
    meter.expect(bytes)
    let hasMadeRoom = false
    let wasCorrupt = false
    for (;;) {
      try {
        return await this.#fetchOnce(version, files, bytes, place, meter, signal)
      } catch (error) {
        meter.add(-meter.read().bytesDone)
        if (isDiskFull(error) && !hasMadeRoom) {
          hasMadeRoom = true
          await place.discard()
          await staging.makeRoom(bytes)
        } else if (error instanceof CorruptObjectError && !wasCorrupt) {
          wasCorrupt = true
          this.#event('source.corrupt', version, { error: error.message })
        } else throw error
      }
    }
  }

  async #fetchOnce(
    version: ModelVersion,
    files: readonly RemoteFile[],
    bytes: number,
    place: StagingPlace,
    meter: ProgressMeter,
    signal: AbortSignal,
  ): Promise<FoundSource> {
    const { reader, staging, limits, clock, random } = this.#options
    const began = clock.now()
    const reservation = await staging.reserve(bytes)
    try {
      const onBytes = (done: number): void => {
        meter.add(done)
        reservation.wrote(done)
      }
      const own = { gate: this.#gate, digests: this.#digests, unpackedBytes: limits.unpackedBytes }
      const parts = { reader, limits, clock, random, onBytes, shared: staging.shared, ...own }
      const { integrity, copiedBytes, ...there } = await bringFiles(version, files, await place.begin(), parts, signal)
      const size = there.files.reduce((sum, file) => sum + file.bytes, 0)
      const { sourceId, key } = version
      await place.complete({ sourceId, key, bytes: size, integrity, files: there.files })
      this.#event('source.fetched', version, {
        bytes,
        copiedBytes,
        files: there.files.length,
        integrity,
        ms: Math.round(clock.now() - began),
      })
    } finally {
      reservation.end()
    }
    const found = await place.find(this.#digests)
    if (found === undefined) throw new ReadFailure('unavailable', 'the files were gone as soon as they were fetched')
    return found
  }

  #event(name: string, { key }: ModelVersion, fields: Readonly<Record<string, string | number | boolean>>): void {
    this.#options.onEvent(name, { key, ...fields })
  }
}
