/** One model's folder: its versions, aliases and settings, and the report that sums them up. */
import { join } from 'node:path'
import type { ModelSettings } from '../domain/model-version.ts'
import { compareVersions } from '../domain/version-order.ts'
import type { Clock } from '../lib/clock.ts'
import { ALIASES_FILE, parseAliases } from './aliases-file.ts'
import { composeReport } from './model-report.ts'
import { SETTINGS_FILE, settingsText } from './model-settings.ts'
import type { ModelReport, VersionFacts } from './scan-messages.ts'
import { Sidecar } from './sidecar.ts'
import { VersionWatch } from './version-watch.ts'

export interface WatchContext {
  /** The models folder with links resolved. */
  readonly modelsRoot: string
  readonly settleMs: number
  readonly defaults: ModelSettings
  readonly clock: Clock
  /** A problem that is worth a line in the log; undefined = there is none any more. */
  readonly onProblem: (path: string, problem: string | undefined) => void
}

type Aliases = ReadonlyArray<readonly [alias: string, version: string]>

export class ModelWatch {
  readonly #name: string
  readonly #folder: string
  readonly #context: WatchContext
  readonly #versions = new Map<string, VersionWatch>()
  #aliases: Sidecar<Aliases> | undefined
  #settings: Sidecar<string | undefined> | undefined
  #isReported = false
  /** What the last report said of each version. */
  #reported: ReadonlyMap<string, VersionFacts> = new Map()

  constructor(name: string, folder: string, context: WatchContext) {
    this.#name = name
    this.#folder = folder
    this.#context = context
  }

  /** The folder was listed again: which versions and files it has. */
  setContent(versions: readonly string[], hasFile: (name: string) => boolean): void {
    for (const version of versions) {
      if (!this.#versions.has(version))
        this.#versions.set(version, new VersionWatch(join(this.#folder, version), version))
    }
    if (hasFile(ALIASES_FILE)) this.#aliases ??= new Sidecar(join(this.#folder, ALIASES_FILE), parseAliases)
    if (hasFile(SETTINGS_FILE))
      this.#settings ??= new Sidecar(join(this.#folder, SETTINGS_FILE), (text) =>
        settingsText(text, this.#context.defaults),
      )
  }

  has(version: string): boolean {
    return this.#versions.has(version)
  }

  get versionCount(): number {
    return this.#versions.size
  }

  get isUnsettled(): boolean {
    if (this.#aliases?.isUnsettled === true || this.#settings?.isUnsettled === true) return true
    for (const watch of this.#versions.values()) if (watch.isUnsettled) return true
    return false
  }

  /** Looks at every file once; whether the report is another one now. */
  look(): boolean {
    const { modelsRoot, settleMs, clock } = this.#context
    let isChanged = !this.#isReported
    for (const [version, watch] of this.#versions) {
      const path = join(this.#folder, version)
      try {
        const outcome = watch.look(modelsRoot, settleMs, clock)
        if (outcome === 'gone') this.#versions.delete(version)
        if (outcome === 'same') continue
        isChanged = true
        this.#context.onProblem(path, watch.adopted?.problem)
      } catch (error) {
        // The file system cannot tell: what was adopted stays.
        this.#context.onProblem(path, error instanceof Error ? error.message : String(error))
      }
    }
    for (const sidecar of [this.#aliases, this.#settings]) {
      if (sidecar?.look(modelsRoot, settleMs, clock) !== true) continue
      isChanged = true
      this.#context.onProblem(sidecar.path, sidecar.problem)
    }
    this.#isReported = true
    return isChanged
  }

  /** Call after a look; the next report builds on it. */
  report(): ModelReport {
    // Before settings were read for the first time a version would start with others than its owner's. What was reported
    // before they came goes on as it was: it serves.
    const mayStart = this.#settings === undefined || !this.#settings.isUnsettled || this.#settings.value !== undefined
    const known = [...this.#versions.keys()].sort(compareVersions).map((version) => {
      const facts = mayStart ? this.#versions.get(version)?.adopted : this.#reported.get(version)
      return [version, facts] as const
    })
    this.#reported = new Map(known.flatMap(([version, facts]) => (facts === undefined ? [] : [[version, facts]])))
    return composeReport(this.#name, known, this.#aliases?.value, this.#settings)
  }
}
