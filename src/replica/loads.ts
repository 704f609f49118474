/**
 * Brings a ModelKey from its source to a ready entry: stage and compile unless the artifact is here, reserve memory, page in.
 * One load per key, begun by the entry table; it belongs to the cache, so it goes on when whoever asked has left.
 */

import type { EntryTable } from '../cache/entry-table.ts'
import type { Demand } from '../cache/ledger.ts'
import type { Manifest } from '../domain/artifact.ts'
import { asGatewayError, GatewayError } from '../domain/errors.ts'
import type { ModelVersion, SourceFile } from '../domain/model-version.ts'
import type { PhaseTimings } from '../domain/phases.ts'
import type { Clock } from '../lib/clock.ts'
import { pause } from '../lib/clock.ts'
import { Semaphore } from '../lib/semaphore.ts'
import { demandOf, newResident, type Resident } from './residents.ts'
import { Turns } from './turns.ts'

/** The bytes of a version, here on local disk. */
export interface StagedSource {
  readonly dir: string
  readonly modelFile: string
  readonly files: readonly SourceFile[]
  readonly bytes: number
  readonly digest?: string
  /** Are these still the bytes that the version's key stands for? */
  isUnchanged(): Promise<boolean>
  /** They are not needed any more. */
  release(): void
}

/** The artifact room as a load needs it. */
export interface Artifacts {
  find(sourceId: string): Promise<Manifest | undefined> | Manifest | undefined
  /** `isFetched`: another machine had compiled it. */
  compile(source: CompileSource): Promise<{ readonly manifest: Manifest; readonly isFetched?: true }>
  /** Checks the files and reads what is cold. @throws GatewayError MODEL_LOADING when they were damaged */
  pageIn(manifest: Manifest): Promise<unknown>
  /** Keeps disk eviction away until the function returned is called. */
  hold(artifact: string): () => void
}

export interface CompileSource extends Omit<StagedSource, 'release'> {
  readonly key: string
  readonly sourceId: string
  readonly tenant: string
  readonly warmUp: readonly unknown[]
  readonly intraOpThreads: number
}

export interface LoadsOptions {
  readonly table: EntryTable
  readonly residents: Map<string, Resident>
  readonly artifacts: Artifacts
  readonly stage: (version: ModelVersion) => Promise<StagedSource>
  /** The version with the settings that it has by now: its owner may have changed them since the load began, and its files may have told some. */
  readonly current: (version: ModelVersion) => ModelVersion
  /** Models being paged in at the same time. */
  readonly parallel: number
  /** How long a load waits for room that others are about to leave. */
  readonly roomWaitMs: number
  readonly clock: Clock
  readonly onEnded: (version: ModelVersion, load: Load, error: GatewayError | undefined) => void
}

/** A load as the requests that began it may watch it. */
export interface Load {
  hasCompiled: boolean
  readonly timings: PhaseTimings
}

/** Each look for room goes through all that might be evicted, 0.1 ms where that is hundreds: under thrash, many loads look again, */
const MIN_ROOM_WAIT_MS = 50
/** and all at the moment when the first model is old enough to go. So many look again in a row, and then none for so long. */
const LOOKS = { perTick: 4, tickMs: 10 }

export class Loads {
  readonly #options: LoadsOptions
  readonly #paging: Semaphore
  readonly #looks: Turns
  readonly #running = new Set<Promise<void>>()

  constructor(options: LoadsOptions) {
    this.#options = options
    this.#paging = new Semaphore(options.parallel)
    this.#looks = new Turns({ clock: options.clock, ...LOOKS })
  }

  /** Runs the load of an entry just begun; the entry's waiters learn how it ends. */
  start(version: ModelVersion): Load {
    const load: Load = { hasCompiled: false, timings: {} }
    const running: Promise<void> = this.#run(version, load).finally(() => this.#running.delete(running))
    this.#running.add(running)
    return load
  }

  get running(): number {
    return this.#running.size
  }

  async #run(version: ModelVersion, load: Load): Promise<void> {
    const { table, onEnded } = this.#options
    try {
      await this.#load(version, load)
      onEnded(version, load, undefined)
    } catch (thrown) {
      this.#forget(version.key)
      const { code, message, facts, cause } = asGatewayError(thrown)
      const error = new GatewayError(
        code,
        message,
        { model: version.name, version: version.version, ...facts },
        { cause: cause ?? thrown },
      )
      table.fail(version.key, error)
      onEnded(version, load, error)
    }
  }

  async #load(version: ModelVersion, load: Load): Promise<void> {
    const { table, artifacts, residents, clock } = this.#options
    const { key } = version
    const manifest = (await artifacts.find(version.sourceId)) ?? (await this.#compile(version, load))
    const resident = newResident(this.#options.current(version), manifest, artifacts.hold(manifest.artifact))
    residents.set(key, resident)
    const demand = demandOf(manifest)
    // Memory is reserved before the pages are read, or a load that does not fit would push out what others use.
    await this.#claim(key, demand)
    table.advance(key, 'paging')
    const began = clock.now()
    await this.#paging.use(() => artifacts.pageIn(manifest))
    const pagedAt = clock.now()
    load.timings.page = pagedAt - began
    // Paging in checks the files first.
    resident.checkedAt = pagedAt
    table.ready(key, demand)
  }

  /**
   * Models that are in use or too recent to be evicted make room soon: a load waits a little before it is refused, and rather than have a
   * model pushed out that is asked for more than those.
   */
  async #claim(key: string, demand: Demand): Promise<void> {
    const { table, clock, roomWaitMs } = this.#options
    const until = clock.now() + roomWaitMs
    for (;;) {
      try {
        await table.claim(key, demand, { waitMs: roomWaitMs })
        return
      } catch (error) {
        const waitMs = waitForRoomMs(error)
        if (waitMs === undefined || clock.now() + waitMs > until) throw error
        await pause(clock, waitMs)
        await this.#looks.next(until - clock.now())
      }
    }
  }

  async #compile(version: ModelVersion, load: Load): Promise<Manifest> {
    const { table, artifacts, clock } = this.#options
    load.hasCompiled = true
    table.advance(version.key, 'fetching')
    const began = clock.now()
    const staged = await this.#options.stage(version)
    const stagedAt = clock.now()
    load.timings.fetch = stagedAt - began
    table.advance(version.key, 'compiling')
    try {
      const source = compileSource(staged, this.#options.current(version))
      const { manifest, isFetched } = await artifacts.compile(source)
      load.hasCompiled = isFetched !== true
      if (load.hasCompiled) load.timings.compile = clock.now() - stagedAt
      else load.timings.fetch = clock.now() - began
      return manifest
    } finally {
      staged.release()
    }
  }

  #forget(key: string): void {
    const { residents } = this.#options
    residents.get(key)?.letGo()
    residents.delete(key)
  }
}

/** A version's staged bytes with what the artifact room is to know about it. */
export function compileSource(staged: StagedSource, version: ModelVersion): CompileSource {
  const { key, sourceId, tenant, settings } = version
  const { warmUp, intraOpThreads } = settings
  return { ...bound(staged), key, sourceId, tenant, warmUp, intraOpThreads }
}

/** Undefined when waiting does not help. */
function waitForRoomMs(error: unknown): number | undefined {
  if (!(error instanceof GatewayError) || error.code !== 'CAPACITY_EXHAUSTED') return undefined
  const { retryAfterMs } = error.facts
  return retryAfterMs === undefined ? undefined : Math.max(MIN_ROOM_WAIT_MS, retryAfterMs)
}

function bound(staged: StagedSource): Omit<StagedSource, 'release'> {
  const { dir, modelFile, files, bytes, digest } = staged
  return {
    dir,
    modelFile,
    files,
    bytes,
    ...(digest === undefined ? {} : { digest }),
    isUnchanged: () => staged.isUnchanged(),
  }
}
