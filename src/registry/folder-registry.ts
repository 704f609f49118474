/**
 * Models in a folder. A scanner in a thread of its own looks at the disk; this class holds what it said, so that no request
 * ever waits for the disk. What is known outlives the folder: an unmounted one changes nothing until it is back.
 */
import { resolve as resolvePath } from 'node:path'
import { GatewayError } from '../domain/errors.ts'
import { type ModelRef, printable } from '../domain/model-ref.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { Clock } from '../lib/clock.ts'
import { ChangeFeed } from './change-feed.ts'
import { defaultSettings, type ModelDefaults } from './model-settings.ts'
import { ModelTable } from './model-table.ts'
import { NameHints } from './name-hints.ts'
import type { RegistryChange, RegistryEventSink, WatchedRegistry } from './registry.ts'
import type { ModelReport, ScannerMessage } from './scan-messages.ts'
import { type ScannerLink, ScannerThread, type StartScanner } from './scanner-link.ts'

export interface FolderRegistryOptions {
  /** The models folder. */
  readonly models: string
  /** Pause between two looks at the whole folder. */
  readonly pollMs: number
  /** A version counts once its files did not change for this long. */
  readonly settleMs: number
  /** Settings of models whose modelmux.yaml says nothing else. */
  readonly defaults: ModelDefaults
  readonly clock: Clock
  readonly onEvent?: RegistryEventSink
  /** A thread unless a test brings its own. */
  readonly startScanner?: StartScanner
}

/** When to ask again for a name that the first scan has not reached: asked names jump the queue. */
const LOOK_RETRY_MS = 200
/** Names asked for during the first scan that the scanner was told of and did not answer. */
const MAX_LOOKS = 1000

export class FolderRegistry implements WatchedRegistry {
  readonly initialScan: Promise<void>
  readonly #options: FolderRegistryOptions
  readonly #table: ModelTable
  readonly #hints: NameHints
  readonly #changes: ChangeFeed
  #link: ScannerLink | undefined
  #isScanned = false
  #endInitialScan: () => void = () => {}
  #lostReason: string | undefined
  #lastScanMs: number | undefined
  /** When the last look at the whole folder began. */
  #trueAt: number | undefined
  readonly #looks = new Set<string>()
  readonly #absent = new Set<string>()
  /** Names that a restarted scanner has not reported again yet. */
  #unconfirmed: Set<string> | undefined

  constructor(options: FolderRegistryOptions) {
    this.#options = options
    const settings = defaultSettings(options.defaults)
    this.#table = new ModelTable(settings, options.settleMs)
    this.#changes = new ChangeFeed((name, fields) => this.#event(name, fields))
    this.#hints = new NameHints(() => this.#table.names(), options.clock)
    this.initialScan = new Promise((resolve) => {
      this.#endInitialScan = resolve
    })
  }

  start(): Promise<void> {
    if (this.#link !== undefined) throw new Error('the registry was started before')
    const { models, pollMs, settleMs, defaults, clock, startScanner } = this.#options
    const start: StartScanner = startScanner ?? ((options, handlers) => new ScannerThread(options, handlers, clock))
    this.#link = start(
      { root: resolvePath(models), pollMs, settleMs, defaults: defaultSettings(defaults) },
      {
        onStart: () => this.#expectEverything(),
        onMessage: (message) => this.#onMessage(message),
        onDied: (error) =>
          this.#event('registry.scanner_died', {
            error: error instanceof Error ? (error.stack ?? error.message) : String(error),
          }),
      },
    )
    return Promise.resolve()
  }

  resolve(ref: ModelRef): ModelVersion {
    return this.#table.resolve(ref) ?? this.#refuse(ref.name)
  }

  versionsOf(name: string): readonly ModelVersion[] {
    return this.#table.versionsOf(name)
  }

  aliasesOf(name: string): ReadonlyMap<string, string> {
    return this.#table.aliasesOf(name)
  }

  /** Why a version that is listed cannot be used, or undefined. */
  problemOf(version: ModelVersion): string | undefined {
    return this.#table.problemOf(version)
  }

  names(): readonly string[] {
    return [...this.#table.names()]
  }

  list(): Iterable<ModelVersion> {
    return this.#table.list()
  }

  /** Models known, and versions of them. */
  get size(): { readonly models: number; readonly versions: number } {
    return { models: this.#table.size, versions: this.#table.versionCount }
  }

  /** What the last look at the whole folder took, in milliseconds; undefined before the first one ended. */
  get lastScanMs(): number | undefined {
    return this.#lastScanMs
  }

  /** How long ago what is known was seen to be so, in milliseconds; undefined before the first look ended. */
  get ageMs(): number | undefined {
    return this.#trueAt === undefined ? undefined : this.#options.clock.now() - this.#trueAt
  }

  /** Why the models folder cannot be looked at; undefined when it can. */
  get lostReason(): string | undefined {
    return this.#lostReason
  }

  hasScanned(): boolean {
    return this.#lastScanMs !== undefined
  }

  onChange(listener: (change: RegistryChange) => void): () => void {
    return this.#changes.listen(listener)
  }

  async close(): Promise<void> {
    this.#endInitialScan()
    await this.#link?.close()
  }

  #refuse(name: string): never {
    if (!this.#isScanned && !this.#absent.has(name)) {
      if (this.#lostReason !== undefined) {
        throw new GatewayError('REGISTRY_UNAVAILABLE', `the models folder cannot be looked at: ${this.#lostReason}`, {
          retryAfterMs: this.#options.pollMs,
        })
      }
      this.#askFor(name)
      throw new GatewayError(
        'MODEL_LOADING',
        `the models folder is still being read, and '${printable(name)}' was not reached yet`,
        {
          model: name,
          retryAfterMs: LOOK_RETRY_MS,
        },
      )
    }
    const near = this.#hints.near(name)
    const hint = near.length === 0 ? '' : `; near names are ${near.map((other) => `'${other}'`).join(', ')}`
    throw new GatewayError('MODEL_NOT_FOUND', `there is no model '${printable(name)}'${hint}`, { model: name })
  }

  #askFor(name: string): void {
    if (this.#looks.has(name) || this.#looks.size >= MAX_LOOKS) return
    this.#looks.add(name)
    this.#link?.send({ kind: 'look', name })
  }

  #onMessage(message: ScannerMessage): void {
    switch (message.kind) {
      case 'models':
        for (const report of message.reports) this.#apply(report)
        break
      case 'absent':
        this.#looks.delete(message.name)
        if (!this.#isScanned && this.#absent.size < MAX_LOOKS) this.#absent.add(message.name)
        break
      case 'scanned':
        this.#onScanned(message.models, message.durationMs)
        break
      case 'root-lost':
        this.#lostReason = message.reason
        this.#event('registry.root_lost', {
          path: this.#options.models,
          reason: message.reason,
          models: this.#table.size,
        })
        break
      case 'event':
        this.#event(message.name, message.fields)
        break
    }
  }

  #apply(report: ModelReport): void {
    const isKnown = this.#table.has(report.name)
    const changes = this.#table.apply(report)
    this.#unconfirmed?.delete(report.name)
    this.#looks.delete(report.name)
    this.#absent.delete(report.name)
    if (this.#table.has(report.name) !== isKnown) this.#hints.reset()
    for (const change of changes) this.#changes.publish(change)
  }

  #onScanned(models: number, durationMs: number): void {
    for (const name of this.#unconfirmed ?? []) this.#apply({ name, versions: [], pending: [], aliases: [] })
    this.#unconfirmed = undefined
    if (this.#lostReason !== undefined) this.#event('registry.root_found', { path: this.#options.models, models })
    this.#lostReason = undefined
    this.#lastScanMs = durationMs
    this.#trueAt = this.#options.clock.now() - durationMs
    if (this.#isScanned) return
    this.#isScanned = true
    this.#looks.clear()
    this.#absent.clear()
    this.#event('registry.scanned', { models, versions: this.#table.versionCount, durationMs: Math.round(durationMs) })
    this.#endInitialScan()
  }

  #expectEverything(): void {
    this.#unconfirmed = new Set(this.#table.names())
    this.#looks.clear()
  }

  #event(name: string, fields: Readonly<Record<string, unknown>>): void {
    this.#options.onEvent?.(name, fields)
  }
}
