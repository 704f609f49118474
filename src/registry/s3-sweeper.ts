/**
 * Brings what a folder in S3 holds into a catalog: all of it in a sweep, or one model in a look. A look that ended while a sweep was under
 * way knows better than the sweep.
 */
import type { RemoteFile } from '../domain/remote-source.ts'
import type { S3Folder } from '../domain/s3-uri.ts'
import type { Clock } from '../lib/clock.ts'
import { nextTurn } from '../lib/next-turn.ts'
import type { ModelDefaults } from './model-settings.ts'
import { defaultSettings } from './model-settings.ts'
import { ProblemLog } from './problem-log.ts'
import type { FoundModel, RemoteRecord } from './remote-model.ts'
import type { RemoteWatchContext } from './remote-model-watch.ts'
import { RemoteModelWatch } from './remote-model-watch.ts'
import type { RemoteSweeper, SweeperParts } from './remote-registry.ts'
import type { ReadSmall } from './remote-sidecar.ts'
import { archivePathOf, modelsIn } from './s3-layout.ts'
import type { ListPage } from './s3-listing.ts'
import { listFew, listGroups } from './s3-listing.ts'

export interface S3SweeperOptions extends SweeperParts<readonly RemoteFile[]> {
  readonly folder: S3Folder
  readonly list: ListPage
  readonly read: ReadSmall
  readonly settleMs: number
  readonly defaults: ModelDefaults
  readonly clock: Clock
}

/** More is no folder of models: 100,000 models with ten files each. */
const MAX_OBJECTS = 1_000_000
/** Models whose sidecars are read at the same time. */
const MAX_AT_ONCE = 8
/** Models between two turns of the event loop. */
const MODELS_PER_TURN = 100
/** A model with more objects than two pages hold is left to the sweeps. */
const LOOK_PAGES = 2

export class S3Sweeper implements RemoteSweeper {
  readonly #options: S3SweeperOptions
  readonly #context: RemoteWatchContext
  readonly #problems: ProblemLog
  /** Of models with more to remember than their record. */
  readonly #watches = new Map<string, RemoteModelWatch>()
  readonly #unsettled = new Set<string>()
  /** Names that a look saw since the sweep under way began. */
  readonly #looked = new Set<string>()

  constructor(options: S3SweeperOptions) {
    const { settleMs, defaults, clock, read, onEvent } = options
    this.#options = options
    this.#problems = new ProblemLog(onEvent)
    this.#context = {
      settleMs,
      defaults: defaultSettings(defaults),
      clock,
      read,
      onProblem: (path, problem) => this.#problems.set('registry.model_problem', path, problem),
    }
  }

  get hasUnsettled(): boolean {
    return this.#unsettled.size > 0
  }

  unsettled(limit: number): string[] {
    return [...this.#unsettled].slice(0, limit)
  }

  async sweep(signal: AbortSignal): Promise<void> {
    const { folder, list, catalog } = this.#options
    this.#looked.clear()
    const seen = new Set<string>()
    const archives: FoundModel[] = []
    const lanes = new Lanes(MAX_AT_ONCE)
    let models = 0
    for await (const group of listGroups(list, folder, MAX_OBJECTS, signal)) {
      for (const model of modelsIn(group, folder, (event, path, problem) => this.#problems.set(event, path, problem))) {
        // A folder of that name comes later in the list, and wins; every sweep would show one, then the other.
        const isDoubtful = model.isArchive && isFolder(catalog.recordOf(model.name))
        if (isDoubtful) archives.push(model)
        else {
          seen.add(model.name)
          if (!this.#looked.has(model.name)) await lanes.run(() => this.#take(model))
        }
        if (++models % MODELS_PER_TURN === 0) await nextTurn()
      }
    }
    for (const model of archives) {
      if (seen.has(model.name) || this.#looked.has(model.name)) continue
      seen.add(model.name)
      await lanes.run(() => this.#take(model))
    }
    await lanes.end()
    for (const name of catalog.table.names()) if (!seen.has(name) && !this.#looked.has(name)) this.#drop(name)
  }

  /** In two calls at once, and two more for its sidecars. */
  async look(name: string, signal: AbortSignal): Promise<boolean> {
    const { folder, list, catalog } = this.#options
    // The topmost folder with versions is the model.
    if (foldersAround(name).some((around) => catalog.table.has(around))) return false
    const [inFolder, archive] = await Promise.all([
      listFew(list, folder, `${name}/`, LOOK_PAGES, signal),
      listFew(list, folder, archivePathOf(name), 1, signal),
    ])
    if (inFolder === undefined) return catalog.table.has(name)
    const objects = [...(archive ?? []).filter(({ path }) => path === archivePathOf(name)), ...inFolder]
    const found = modelsIn(objects, folder, () => {}).filter((model) => model.name === name)
    const model = found.find(({ isArchive }) => !isArchive) ?? found[0]
    if (model === undefined) this.#drop(name)
    else await this.#take(model)
    this.#looked.add(name)
    return catalog.table.has(name)
  }

  async #take(model: FoundModel): Promise<void> {
    const { catalog, onChange } = this.#options
    const { name } = model
    const watch = this.#watches.get(name) ?? new RemoteModelWatch(name, this.#context, catalog.recordOf(name))
    // Before the first wait: a look and a sweep may meet here.
    this.#watches.set(name, watch)
    const record = await watch.look(model)
    if (watch.isUnsettled) this.#unsettled.add(name)
    else this.#unsettled.delete(name)
    if (!watch.hasMemory) this.#watches.delete(name)
    if (catalog.apply(record)) onChange()
  }

  #drop(name: string): void {
    this.#watches.delete(name)
    this.#unsettled.delete(name)
    this.#problems.forgetBelow(name)
    if (this.#options.catalog.remove(name)) this.#options.onChange()
  }
}

/** Runs tasks side by side, as many as there are lanes. */
class Lanes {
  readonly #limit: number
  readonly #running = new Set<Promise<void>>()
  #failure: { readonly error: unknown } | undefined

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Resolves when there is a free lane again. @throws the error of an earlier task */
  async run(task: () => Promise<void>): Promise<void> {
    const running: Promise<void> = task()
      .catch((error: unknown) => {
        this.#failure ??= { error }
      })
      .finally(() => this.#running.delete(running))
    this.#running.add(running)
    if (this.#running.size >= this.#limit) await Promise.race(this.#running)
    this.#throwFailure()
  }

  /** Resolves when all have ended. @throws the first error of a task */
  async end(): Promise<void> {
    await Promise.all(this.#running)
    this.#throwFailure()
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}

function isFolder(record: RemoteRecord | undefined): boolean {
  return record !== undefined && record.files[0]?.[1][0]?.isArchive !== true
}

function foldersAround(name: string): string[] {
  const segments = name.split('/')
  return segments.slice(1).map((_, index) => segments.slice(0, index + 1).join('/'))
}
