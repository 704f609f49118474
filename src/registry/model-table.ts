/** The models that are known, in memory: reports go in, changes come out, refs are resolved without I/O. */
import { LRUCache } from 'lru-cache'
import { GatewayError } from '../domain/errors.ts'
import { type ModelRef, printable, tenantOf } from '../domain/model-ref.ts'
import { type ModelSettings, type ModelVersion, modelKey } from '../domain/model-version.ts'
import { MODEL_FILES } from '../domain/source-identity.ts'
import { compareVersions } from '../domain/version-order.ts'
import type { RegistryChange } from './registry.ts'
import type { ModelReport, VersionFacts } from './scan-messages.ts'

/** What most models have is shared between them: 10,000 models take a few megabytes. */
const NO_ALIASES: ReadonlyMap<string, string> = new Map()
const NO_PROBLEMS: ReadonlyMap<string, string> = new Map()
const NONE_PENDING: readonly string[] = []
const SHARED_SETTINGS_MAX = 1000
const SHOWN = 5

interface ModelRecord {
  readonly name: string
  /** Oldest first. */
  readonly versions: readonly ModelVersion[]
  /** Why versions that cannot be used cannot. */
  readonly problems: ReadonlyMap<string, string>
  /** By default: what the report says, else the latest version that can be used, else the latest of all. */
  readonly served: ModelVersion | undefined
  readonly pending: readonly string[]
  readonly aliases: ReadonlyMap<string, string>
  /** Why no version may run. */
  readonly problem: string | undefined
}

export class ModelTable {
  readonly #models = new Map<string, ModelRecord>()
  readonly #defaults: ModelSettings
  readonly #settleMs: number
  readonly #settings = new LRUCache<string, ModelSettings>({ max: SHARED_SETTINGS_MAX })
  #versions = 0

  constructor(defaults: ModelSettings, settleMs: number) {
    this.#defaults = defaults
    this.#settleMs = settleMs
  }

  get size(): number {
    return this.#models.size
  }

  get versionCount(): number {
    return this.#versions
  }

  has(name: string): boolean {
    return this.#models.has(name)
  }

  names(): IterableIterator<string> {
    return this.#models.keys()
  }

  *list(): Generator<ModelVersion> {
    for (const { versions } of this.#models.values()) yield* versions
  }

  versionsOf(name: string): readonly ModelVersion[] {
    return this.#models.get(name)?.versions ?? []
  }

  aliasesOf(name: string): ReadonlyMap<string, string> {
    return this.#models.get(name)?.aliases ?? NO_ALIASES
  }

  /** Why a version cannot be used, or undefined. */
  problemOf({ name, version }: ModelVersion): string | undefined {
    const record = this.#models.get(name)
    return record?.problem ?? record?.problems.get(version)
  }

  /** @throws GatewayError; undefined for an unknown name */
  resolve(ref: ModelRef): ModelVersion | undefined {
    const record = this.#models.get(ref.name)
    if (record === undefined) return undefined
    const version = this.#choose(record, ref)
    const problem = record.problem ?? record.problems.get(version.version)
    if (problem === undefined) return version
    const facts = { model: ref.name, version: version.version }
    throw new GatewayError(
      'ARTIFACT_INVALID',
      `version ${version.version} of '${ref.name}' cannot be used: ${problem}`,
      facts,
    )
  }

  /** Replaces what is known of one model. */
  apply(report: ModelReport): RegistryChange[] {
    const before = this.#models.get(report.name)
    const known = new Map(before?.versions.map((version) => [version.version, version]))
    const name = before?.name ?? report.name
    const changes: RegistryChange[] = []
    const versions = report.versions.map((facts) => {
      const previous = known.get(facts.version)
      known.delete(facts.version)
      const settings = this.#settingsOf(facts.settings ?? report.settings)
      if (previous !== undefined && previous.sourceId === facts.sourceId && previous.settings === settings)
        return previous
      const version = newVersion(name, facts, settings)
      changes.push(previous === undefined ? { kind: 'added', version } : { kind: 'changed', version, previous })
      return version
    })
    for (const version of known.values()) changes.push({ kind: 'removed', version })
    this.#versions += versions.length - (before?.versions.length ?? 0)

    if (versions.length === 0 && report.pending.length === 0) {
      this.#models.delete(name)
      return changes
    }
    const broken = report.versions.filter(({ problem }) => problem !== undefined)
    const problems =
      broken.length === 0 ? NO_PROBLEMS : new Map(broken.map(({ version, problem }) => [version, problem ?? '']))
    const served =
      versions.find(({ version }) => version === report.served) ??
      versions.findLast(({ version }) => !problems.has(version)) ??
      versions.at(-1)
    const aliases = report.aliases.length === 0 ? NO_ALIASES : new Map(report.aliases)
    this.#models.set(name, {
      name,
      versions,
      problems,
      served,
      pending: report.pending.length === 0 ? NONE_PENDING : report.pending,
      aliases,
      problem: report.problem,
    })
    const areMoved = before !== undefined && !isSameMap(before.aliases, aliases)
    if (areMoved && served !== undefined) changes.push({ kind: 'aliases', version: served })
    return changes
  }

  #choose(record: ModelRecord, ref: ModelRef): ModelVersion {
    const { name } = record
    if (ref.version !== undefined) {
      const found = this.#find(record, ref.version)
      if (found !== undefined) return found
      const known = record.versions.slice(-SHOWN).map(({ version }) => version)
      throw new GatewayError(
        'VERSION_NOT_FOUND',
        `'${name}' has no version ${ref.version}; its latest are ${known.join(', ') || 'not complete yet'}`,
        {
          model: name,
          version: ref.version,
        },
      )
    }
    if (ref.alias !== undefined) return this.#byAlias(record, ref.alias)
    if (record.served === undefined) throw this.#stillChanging(name, record.pending.at(-1) ?? '')
    return record.served
  }

  #byAlias(record: ModelRecord, alias: string): ModelVersion {
    const { name, aliases } = record
    const version = aliases.get(alias)
    if (version === undefined) {
      const known = [...aliases.keys()].slice(0, SHOWN).map((known) => `'${known}'`)
      const hint = known.length === 0 ? 'it has no aliases' : `it has ${known.join(', ')}`
      throw new GatewayError('ALIAS_NOT_FOUND', `'${name}' has no alias '${printable(alias)}'; ${hint}`, {
        model: name,
      })
    }
    const found = this.#find(record, version)
    if (found !== undefined) return found
    throw new GatewayError(
      'ALIAS_NOT_FOUND',
      `alias '${printable(alias)}' of '${name}' names version ${version}, which does not exist`,
      {
        model: name,
        version,
      },
    )
  }

  /** Binary search. @throws GatewayError MODEL_LOADING for a version that is still changing */
  #find({ name, versions, pending }: ModelRecord, version: string): ModelVersion | undefined {
    let low = 0
    let high = versions.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const candidate = versions[middle]
      const order = candidate === undefined ? 0 : compareVersions(candidate.version, version)
      if (order === 0) return candidate
      if (order < 0) low = middle + 1
      else high = middle - 1
    }
    if (pending.includes(version)) throw this.#stillChanging(name, version)
    return undefined
  }

  #stillChanging(name: string, version: string): GatewayError {
    const message = `the files of version ${version} of '${name}' are still changing; it counts once they did not for ${this.#settleMs} ms`
    return new GatewayError('MODEL_LOADING', message, { model: name, version, retryAfterMs: this.#settleMs })
  }

  /** One object for all models with the same settings. */
  #settingsOf(json: string | undefined): ModelSettings {
    if (json === undefined) return this.#defaults
    let settings = this.#settings.get(json)
    if (settings === undefined) {
      settings = JSON.parse(json) as ModelSettings
      this.#settings.set(json, settings)
    }
    return settings
  }
}

function isSameMap(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  if (a.size !== b.size) return false
  for (const [key, value] of a) if (b.get(key) !== value) return false
  return true
}

function newVersion(name: string, facts: VersionFacts, settings: ModelSettings): ModelVersion {
  return {
    key: modelKey(name, facts.version, facts.sourceId),
    name,
    version: facts.version,
    tenant: tenantOf(name),
    sourceId: facts.sourceId,
    modelFile: MODEL_FILES.find((file) => file === facts.modelFile) ?? facts.modelFile,
    bytes: facts.bytes,
    settings,
  }
}
