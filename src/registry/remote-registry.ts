/**
 * A registry of models that lies elsewhere. Sweeps ask for everything in the background, a poll interval apart; what they found is in
 * memory, so that no request ever waits for the network. A name that is not known is looked for once, in the background too. When nobody
 * answers, what is known stays, and its age can be read. What there is to ask, and how, is the sweeper's.
 */
import { LRUCache } from 'lru-cache'
import { GatewayError } from '../domain/errors.ts'
import type { ModelRef } from '../domain/model-ref.ts'
import { printable } from '../domain/model-ref.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import { backoffMs } from '../lib/backoff.ts'
import type { Clock, Timer } from '../lib/clock.ts'
import { pause } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import { TokenBucket } from '../lib/token-bucket.ts'
import { ChangeFeed } from './change-feed.ts'
import type { ModelDefaults } from './model-settings.ts'
import type { RegistryChange, RegistryEventSink, WatchedRegistry } from './registry.ts'
import type { RegistrySnapshot } from './registry-snapshot.ts'
import { RemoteCatalog } from './remote-catalog.ts'

/** Brings what the other side has into the catalog. */
export interface RemoteSweeper {
  /** Looks at everything; what is not there any more is gone. @throws Error, whose message is shown; then nothing is taken for gone */
  sweep(signal: AbortSignal): Promise<void>
  /** Looks for one model in a few calls; whether it is there. @throws Error as above */
  look(name: string, signal: AbortSignal): Promise<boolean>
  /** Are there models with something that does not count yet? */
  readonly hasUnsettled: boolean
  /** Some of their names. */
  unsettled(limit: number): string[]
}

export interface SweeperParts<F> {
  readonly catalog: RemoteCatalog<F>
  /** The catalog knows something else now. */
  readonly onChange: () => void
  readonly onEvent: RegistryEventSink
}

export interface RemoteRegistryOptions<F, S extends RemoteSweeper = RemoteSweeper> {
  /** The place as it is shown; without a password. */
  readonly place: string
  readonly sweeper: (parts: SweeperParts<F>) => S
  /** Pause between two sweeps. */
  readonly pollMs: number
  /** What has not settled is looked at this soon again. */
  readonly settleMs: number
  /** Settings of models that say nothing else. */
  readonly defaults: ModelDefaults
  /** Where to keep what is known for the next start; absent = nowhere. */
  readonly snapshot?: RegistrySnapshot<F>
  readonly clock: Clock
  readonly random: () => number
  readonly onEvent?: RegistryEventSink
}

/** Of a sweep that failed; the longest pause is that between two sweeps. */
const RETRY_BASE_MS = 1000
/** When to ask again for a name that is being looked for. */
const LOOK_RETRY_MS = 500
/** Looks that anybody can cause by asking for names that nobody has. */
const LOOKS = { perSecond: 20, burst: 50 }
const MAX_LOOKS_AT_ONCE = 8
/** Names known not to be there, and for how long before a look tells whether that still is so. */
const MAX_ABSENT = 10_000
const ABSENT_MS = 10_000
/** What has not settled is looked at this soon again, and so many at once; the sweep sees the rest. */
const MIN_RECHECK_MS = 200
/** A save writes all that is known. */
const SAVE_SOON_MS = 2000
const MAX_RECHECKED = 50

/** `F`: what is known of the files of a version; plain data. */
export class RemoteRegistry<F, S extends RemoteSweeper = RemoteSweeper> implements WatchedRegistry {
  readonly initialScan: Promise<void>
  protected readonly sweeper: S
  readonly #options: RemoteRegistryOptions<F, S>
  readonly #changes: ChangeFeed
  readonly #catalog: RemoteCatalog<F>
  readonly #stop = new AbortController()
  #endInitialScan: () => void = () => {}
  #work: Promise<unknown> = Promise.resolve()
  readonly #looks = new Map<string, { again: boolean }>()
  readonly #budget: TokenBucket
  /** When a name was found not to be there. */
  readonly #absent = new LRUCache<string, { readonly at: number }>({ max: MAX_ABSENT })
  #isSwept = false
  #recheck: Timer | undefined
  #lostReason: string | undefined
  #lastScanMs: number | undefined
  /** When everything that is known was last true. */
  #trueAt: number | undefined
  #isSaved = false
  #saving: Promise<void> = Promise.resolve()
  #saveTimer: Timer | undefined

  constructor(options: RemoteRegistryOptions<F, S>) {
    const { sweeper, settleMs, defaults, clock } = options
    this.#options = options
    const onEvent: RegistryEventSink = (name, fields) => this.#event(name, fields)
    this.#changes = new ChangeFeed(onEvent)
    this.#catalog = new RemoteCatalog({ defaults, settleMs, clock, changes: this.#changes })
    const onChange = () => {
      this.#isSaved = false
    }
    this.sweeper = sweeper({ catalog: this.#catalog, onChange, onEvent })
    this.#budget = new TokenBucket(LOOKS, clock.now())
    this.initialScan = new Promise((resolve) => {
      this.#endInitialScan = resolve
    })
  }

  /** Resolves when what an earlier life knew is known again. */
  async start(): Promise<void> {
    await this.#restore()
    this.#work = this.#run()
    detach(this.#work)
  }

  resolve(ref: ModelRef): ModelVersion {
    return this.#catalog.resolve(ref) ?? this.#refuse(ref.name)
  }

  versionsOf(name: string): readonly ModelVersion[] {
    return this.#catalog.table.versionsOf(name)
  }

  aliasesOf(name: string): ReadonlyMap<string, string> {
    return this.#catalog.table.aliasesOf(name)
  }

  names(): readonly string[] {
    return [...this.#catalog.table.names()]
  }

  list(): Iterable<ModelVersion> {
    return this.#catalog.table.list()
  }

  /** What is known of the files of a version. @throws GatewayError ARTIFACT_UNREACHABLE for one that is not known any more */
  filesOf(version: ModelVersion): F {
    return this.#catalog.filesOf(version)
  }

  get size(): { readonly models: number; readonly versions: number } {
    return { models: this.#catalog.table.size, versions: this.#catalog.table.versionCount }
  }

  /** What the last whole sweep took, in milliseconds; undefined before the first one ended. */
  get lastScanMs(): number | undefined {
    return this.#lastScanMs
  }

  /** How long ago what is known was seen to be so, in milliseconds; undefined when nothing was ever known. */
  get ageMs(): number | undefined {
    return this.#trueAt === undefined ? undefined : this.#options.clock.now() - this.#trueAt
  }

  hasScanned(): boolean {
    return this.#lastScanMs !== undefined
  }

  onChange(listener: (change: RegistryChange) => void): () => void {
    return this.#changes.listen(listener)
  }

  /** Somebody heard that a model changed: looks at it soon. Any number of calls costs one look at a time. */
  lookAgain(name: string): void {
    const look = this.#looks.get(name)
    if (look === undefined) this.#look(name)
    // What the look under way has seen may be older than the news.
    else look.again = true
  }

  async close(): Promise<void> {
    this.#stop.abort(new Error('the registry was closed'))
    this.#recheck?.cancel()
    this.#endInitialScan()
    this.#saveTimer?.cancel()
    await this.#work
    if (!this.#isSaved && this.#isCurrent) await this.#save()
  }

  /** Something is known that no sweep would find: it goes to disk soon, and with it all that comes until then. */
  protected saveSoon(): void {
    this.#saveTimer ??= this.#options.clock.after(SAVE_SOON_MS, () => {
      this.#saveTimer = undefined
      if (!this.#isSaved && this.#isCurrent) detach(this.#save())
    })
  }

  /** Whether a save may say that all of it is true now: what an earlier life knew is older than that. */
  get #isCurrent(): boolean {
    return this.#isSwept && this.#lostReason === undefined
  }

  async #restore(): Promise<void> {
    const { snapshot, clock } = this.#options
    try {
      const saved = await snapshot?.load()
      if (saved === undefined) return
      for (const record of saved.records) this.#catalog.apply(record)
      this.#trueAt = clock.now() - saved.ageMs
      this.#isSaved = true
      this.#event('registry.restored', { path: this.#options.place, ...this.size, ageMs: Math.round(saved.ageMs) })
    } catch (error) {
      this.#event('registry.snapshot_failed', { error: messageOf(error) })
    }
  }

  async #run(): Promise<void> {
    const { clock, pollMs, random } = this.#options
    const { signal } = this.#stop
    for (let failures = 0; !signal.aborted; ) {
      failures = (await this.#sweep()) ? 0 : failures + 1
      const pollPauseMs = Math.max(pollMs, this.#lastScanMs ?? 0)
      const pauseMs =
        failures === 0 ? pollPauseMs : backoffMs(failures, { baseMs: RETRY_BASE_MS, maxMs: pollPauseMs }, random)
      await pause(clock, pauseMs, signal).catch(() => undefined)
    }
  }

  /** Whether it saw everything. */
  async #sweep(): Promise<boolean> {
    const { clock } = this.#options
    const began = clock.now()
    try {
      await this.sweeper.sweep(this.#stop.signal)
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#lost(messageOf(error))
      return false
    }
    this.#lastScanMs = clock.now() - began
    this.#trueAt = began
    if (this.#lostReason !== undefined)
      this.#event('registry.root_found', { path: this.#options.place, models: this.size.models })
    this.#lostReason = undefined
    this.#scheduleRecheck()
    if (!this.#isSwept) {
      this.#isSwept = true
      this.#event('registry.scanned', { ...this.size, durationMs: Math.round(this.#lastScanMs) })
      this.#endInitialScan()
    }
    await this.#save()
    return true
  }

  #lost(reason: string): void {
    if (reason !== this.#lostReason)
      this.#event('registry.root_lost', { path: this.#options.place, reason, models: this.size.models })
    this.#lostReason = reason
  }

  /** One at a time: they write the same file. */
  #save(): Promise<void> {
    this.#saving = this.#saving.then(() => this.#saveNow())
    return this.#saving
  }

  async #saveNow(): Promise<void> {
    const { snapshot } = this.#options
    if (snapshot === undefined) return
    try {
      if (this.#isSaved) await snapshot.confirm()
      else {
        this.#isSaved = true
        await snapshot.save(this.#catalog.records())
      }
    } catch (error) {
      this.#isSaved = false
      this.#event('registry.snapshot_failed', { error: messageOf(error) })
    }
  }

  #refuse(name: string): never {
    const { clock } = this.#options
    const absent = this.#absent.get(name)
    if (this.#lostReason !== undefined && absent === undefined) {
      throw new GatewayError('REGISTRY_UNAVAILABLE', `${this.#options.place} cannot be listed: ${this.#lostReason}`, {
        model: name,
        retryAfterMs: RETRY_BASE_MS,
      })
    }
    const isOld = absent === undefined || clock.now() - absent.at > ABSENT_MS
    const isLooking = this.#looks.has(name)
    const mayLook = isOld && !isLooking && this.#looks.size < MAX_LOOKS_AT_ONCE && this.#budget.take(clock.now())
    if (mayLook) this.#look(name)
    // A look that nobody can afford leaves the word to the sweeps.
    if (absent !== undefined || (this.#isSwept && !isLooking && !mayLook)) throw this.#catalog.notFound(name)
    throw new GatewayError('MODEL_LOADING', `'${printable(name)}' is being looked for in ${this.#options.place}`, {
      model: name,
      retryAfterMs: LOOK_RETRY_MS,
    })
  }

  #look(name: string): void {
    const look = { again: false }
    this.#looks.set(name, look)
    detach(this.#lookFor(name, look))
  }

  async #lookFor(name: string, look: { again: boolean }): Promise<void> {
    try {
      const isThere = await this.sweeper.look(name, this.#stop.signal)
      if (isThere) this.#absent.delete(name)
      else this.#absent.set(name, { at: this.#options.clock.now() })
    } catch {
      // The next sweep says that nobody answers; until then the name may be asked for again.
      look.again = false
    }
    this.#endLook(name, look.again)
  }

  #endLook(name: string, again: boolean): void {
    this.#looks.delete(name)
    if (this.#stop.signal.aborted) return
    if (again) this.#look(name)
    this.#scheduleRecheck()
  }

  #scheduleRecheck(): void {
    if (this.#recheck !== undefined || !this.sweeper.hasUnsettled) return
    this.#recheck = this.#options.clock.after(Math.max(this.#options.settleMs, MIN_RECHECK_MS), () => {
      this.#recheck = undefined
      for (const name of this.sweeper.unsettled(MAX_RECHECKED)) this.lookAgain(name)
    })
  }

  #event(name: string, fields: Readonly<Record<string, unknown>>): void {
    this.#options.onEvent?.(name, fields)
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
