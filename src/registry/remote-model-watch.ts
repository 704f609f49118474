/** One model of a remote registry: adopts what listings show once it settled, and keeps its sidecars. */
import type { ModelSettings } from '../domain/model-version.ts'
import type { RemoteFile } from '../domain/remote-source.ts'
import type { Clock } from '../lib/clock.ts'
import { ALIASES_FILE, parseAliases } from './aliases-file.ts'
import { composeReport } from './model-report.ts'
import { SETTINGS_FILE, settingsText } from './model-settings.ts'
import type { FoundModel, FoundVersion, RemoteRecord } from './remote-model.ts'
import type { ReadSmall } from './remote-sidecar.ts'
import { RemoteSidecar } from './remote-sidecar.ts'
import type { ModelReport, VersionFacts } from './scan-messages.ts'
import { isSettled } from './settling.ts'

export interface RemoteWatchContext {
  readonly settleMs: number
  readonly defaults: ModelSettings
  readonly clock: Clock
  readonly read: ReadSmall
  /** A problem that is worth a line in the log; undefined = there is none any more. */
  readonly onProblem: (path: string, problem: string | undefined) => void
}

interface Known {
  readonly facts: VersionFacts
  readonly files: readonly RemoteFile[]
}

export class RemoteModelWatch {
  readonly #name: string
  readonly #context: RemoteWatchContext
  readonly #aliases = new RemoteSidecar<ModelReport['aliases']>(parseAliases)
  readonly #settings: RemoteSidecar<string>
  /** What was last said of each version. */
  #reported: ReadonlyMap<string, Known>
  /** When a version that is still changing was first seen as it is, by its source. */
  #changing: ReadonlyMap<string, number> = new Map()
  #isArchive = false

  /** @param before what is known of the model from an earlier life; it serves until something else is seen */
  constructor(name: string, context: RemoteWatchContext, before: RemoteRecord | undefined) {
    this.#name = name
    this.#context = context
    this.#settings = new RemoteSidecar((text) => settingsText(text, context.defaults))
    const files = new Map(before?.files)
    this.#reported = new Map(
      before?.report.versions.map((facts) => [facts.version, { facts, files: files.get(facts.version) ?? [] }]),
    )
  }

  /** Is it one archive rather than a folder of versions, as it was last seen? */
  get isArchive(): boolean {
    return this.#isArchive
  }

  /** Something was seen that does not count yet: look again soon. */
  get isUnsettled(): boolean {
    return this.#changing.size > 0 || this.#aliases.isUnknown || this.#settings.isUnknown
  }

  /** Takes in what a listing shows. */
  async look(model: FoundModel): Promise<RemoteRecord> {
    this.#isArchive = model.isArchive
    await Promise.all([this.#lookAt(this.#aliases, model, 'aliases'), this.#lookAt(this.#settings, model, 'settings')])
    const changing = new Map<string, number>()
    // Before settings were read for the first time a version would start with others than its owner's. What was reported
    // before they came goes on as it was: it serves.
    const mayStart = !this.#settings.isUnknown
    const known = model.versions.map((version): [string, Known | undefined] => {
      const before = this.#reported.get(version.facts.version)
      const isReady = mayStart && this.#isSettled(version, before, changing)
      return [version.facts.version, isReady ? { facts: version.facts, files: version.files } : before]
    })
    this.#changing = changing
    this.#reported = new Map(known.flatMap(([version, one]) => (one === undefined ? [] : [[version, one]])))
    for (const [version, one] of this.#reported) this.#context.onProblem(`${this.#name}/${version}`, one.facts.problem)
    return {
      report: composeReport(
        this.#name,
        known.map(([version, one]) => [version, one?.facts]),
        this.#aliases.value,
        this.#settings.isThere ? this.#settings : undefined,
      ),
      files: [...this.#reported].map(([version, { files }]) => [version, files]),
    }
  }

  #isSettled({ facts, newestMs }: FoundVersion, before: Known | undefined, changing: Map<string, number>): boolean {
    const { settleMs, clock } = this.#context
    if (before?.facts.sourceId === facts.sourceId) return true
    const since = this.#changing.get(facts.sourceId) ?? clock.now()
    if (isSettled(BigInt(newestMs) * 1_000_000n, since, settleMs, clock)) return true
    changing.set(facts.sourceId, since)
    return false
  }

  async #lookAt<T>(sidecar: RemoteSidecar<T>, model: FoundModel, which: 'aliases' | 'settings'): Promise<void> {
    const isChanged = await sidecar.look(model[which], this.#context.read)
    const file = which === 'aliases' ? ALIASES_FILE : SETTINGS_FILE
    if (isChanged) this.#context.onProblem(`${this.#name}/${file}`, sidecar.problem)
  }
}
