/**
 * Brings what MLflow's registry has into a catalog: all of it in a sweep, some thousand a call, or one model in a look of two calls. Models
 * are asked for before versions, so that whatever version an alias names is in the list that comes after it. A look that ended while a
 * sweep was under way knows better than the sweep.
 */

import { nameFilter } from '../domain/mlflow-filter.ts'
import { nameProblem, printable } from '../domain/model-ref.ts'
import { nextTurn } from '../lib/next-turn.ts'
import type { ListedModel, MlflowReads } from './mlflow-listing.ts'
import { eachItem } from './mlflow-listing.ts'
import type { FoundVersion, MlflowFiles, MlflowRecord, RecordTerms, SaidSettings } from './mlflow-record.ts'
import { foundVersion, mlflowRecord, withSaid } from './mlflow-record.ts'
import { defaultSettings, type ModelDefaults } from './model-settings.ts'
import { ProblemLog } from './problem-log.ts'
import type { RemoteSweeper, SweeperParts } from './remote-registry.ts'

export interface MlflowSweeperOptions extends SweeperParts<MlflowFiles> {
  readonly reads: MlflowReads
  /** Tells this registry from others: it goes into the identity of versions. */
  readonly origin: string
  readonly defaultAlias: string | null
  readonly defaults: ModelDefaults
}

/** The most that MLflow gives of models at once. */
const MODELS_PER_PAGE = 1000
const VERSIONS_PER_PAGE = 2000
/** A model with more is left to the sweeps. */
const VERSIONS_PER_LOOK = 2000
/** More is no registry of models. */
const MAX_VERSIONS = 1_000_000
/** Models that a sweep is in doubt of and asks for by name; the others wait for the next sweep. */
const MAX_DOUBTS = 100
/** Models between two turns of the event loop. */
const MODELS_PER_TURN = 100

interface Listed {
  readonly models: ReadonlyMap<string, ListedModel>
  readonly versions: ReadonlyMap<string, ReadonlyMap<string, FoundVersion>>
  /** One call each: nothing can have slipped from one page to another meanwhile. */
  readonly isWhole: boolean
}

export class MlflowSweeper implements RemoteSweeper {
  /** A version is READY, or it does not count. */
  readonly hasUnsettled = false
  readonly #options: MlflowSweeperOptions
  readonly #terms: RecordTerms
  readonly #problems: ProblemLog
  /** Names of models that this process took in. */
  readonly #ours = new Set<string>()
  /** Names that a look saw since the sweep under way began. */
  readonly #looked = new Set<string>()
  /** Where in the list of doubts the next sweep begins, so that each has its turn. */
  #doubtsFrom = 0

  constructor(options: MlflowSweeperOptions) {
    const { defaultAlias, defaults, onEvent } = options
    this.#options = options
    this.#problems = new ProblemLog(onEvent)
    this.#terms = {
      defaultAlias,
      defaults: defaultSettings(defaults),
      isOurs: (name) => this.#ours.has(name),
      tell: (path, problem) => this.#problems.set('registry.model_problem', path, problem),
    }
  }

  async sweep(signal: AbortSignal): Promise<void> {
    const { catalog } = this.#options
    this.#looked.clear()
    const listed = await this.#list(signal)
    const doubtful: string[] = []
    let seen = 0
    for (const name of new Set([...listed.models.keys(), ...listed.versions.keys(), ...catalog.table.names()])) {
      const model = listed.models.get(name)
      const versions = [...(listed.versions.get(name)?.values() ?? [])]
      if (this.#looked.has(name)) continue
      if (this.#isDoubtful(name, model, versions, listed.isWhole)) doubtful.push(name)
      else this.#take(name, model, versions)
      if (++seen % MODELS_PER_TURN === 0) await nextTurn()
    }
    const from = doubtful.length > MAX_DOUBTS ? this.#doubtsFrom % doubtful.length : 0
    const inTurn = [...doubtful.slice(from), ...doubtful.slice(0, from)].slice(0, MAX_DOUBTS)
    this.#doubtsFrom = from + inTurn.length
    for (const name of inTurn) if (!this.#looked.has(name)) await this.look(name, signal)
  }

  async look(name: string, signal: AbortSignal): Promise<boolean> {
    const { reads, catalog, origin } = this.#options
    if (nameFilter(name) === undefined) return false
    const model = await reads.model(name, signal)
    const page = model === undefined ? undefined : await reads.versions({ name, limit: VERSIONS_PER_LOOK }, signal)
    if (page?.next !== undefined) return catalog.table.has(name)
    const found = (page?.items ?? []).filter((one) => one.name === name).map((one) => foundVersion(one, origin))
    this.#take(
      name,
      model,
      found.filter((one) => one !== undefined),
    )
    this.#looked.add(name)
    return catalog.table.has(name)
  }

  unsettled(): string[] {
    return []
  }

  /** The files of a version were read, and say this. Whether that was news. */
  learn(name: string, sourceId: string, said: SaidSettings): boolean {
    const { catalog, onChange } = this.#options
    const before = catalog.recordOf(name)
    const record = before === undefined ? undefined : withSaid(before, sourceId, said, this.#terms.defaults)
    if (record === undefined || record === before) return false
    catalog.apply(record)
    onChange()
    return true
  }

  async #list(signal: AbortSignal): Promise<Listed> {
    const { reads, origin } = this.#options
    const models = new Map<string, ListedModel>()
    const versions = new Map<string, Map<string, FoundVersion>>()
    let count = 0
    const modelPages = await eachItem(
      (pageToken) => reads.models({ pageToken, limit: MODELS_PER_PAGE }, signal),
      (model) => {
        if (this.#isName(model.name)) models.set(model.name, model)
      },
    )
    const versionPages = await eachItem(
      (pageToken) => reads.versions({ pageToken, limit: VERSIONS_PER_PAGE }, signal),
      (one) => {
        if (++count > MAX_VERSIONS) throw new Error(`MLflow has more than ${MAX_VERSIONS} versions of models`)
        const found = this.#isName(one.name) ? foundVersion(one, origin) : undefined
        if (found === undefined) return
        // What moved from one page to the next comes twice.
        const others = versions.get(one.name)
        if (others === undefined) versions.set(one.name, new Map([[found.version, found]]))
        else others.set(found.version, found)
      },
    )
    return { models, versions, isWhole: modelPages === 1 && versionPages === 1 }
  }

  #isName(name: string): boolean {
    const problem = nameProblem(name)
    this.#problems.set('registry.name_skipped', printable(name), problem)
    return problem === undefined
  }

  /** A version without its model was made since; between two pages of a list that is being changed, something may have slipped through. */
  #isDoubtful(name: string, model: ListedModel | undefined, found: readonly FoundVersion[], isWhole: boolean): boolean {
    if (model === undefined && found.length > 0) return true
    if (isWhole) return false
    const sources = new Set(found.map(({ sourceId }) => sourceId))
    return this.#options.catalog.table.versionsOf(name).some(({ sourceId }) => !sources.has(sourceId))
  }

  #take(name: string, model: ListedModel | undefined, found: readonly FoundVersion[]): void {
    const { catalog, onChange } = this.#options
    if (model === undefined || found.length === 0) {
      this.#problems.forgetBelow(name)
      this.#ours.delete(name)
      if (catalog.table.has(name) && catalog.remove(name)) onChange()
      return
    }
    const record: MlflowRecord = mlflowRecord(model, found, catalog.recordOf(name), this.#terms)
    this.#ours.add(name)
    if (catalog.apply(record)) onChange()
  }
}
