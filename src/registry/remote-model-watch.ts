/** One model of a remote registry: adopts what listings show once it settled, and keeps its sidecars. */
import type { ModelSettings } from '../domain/model-version.ts'
import type { Clock } from '../lib/clock.ts'
import { ALIASES_FILE, parseAliases } from './aliases-file.ts'
import { composeReport } from './model-report.ts'
import { SETTINGS_FILE, settingsText } from './model-settings.ts'
import type { FoundModel, FoundObject, FoundVersion, RemoteRecord } from './remote-model.ts'
import type { ReadSmall } from './remote-sidecar.ts'
import { RemoteSidecar } from './remote-sidecar.ts'
import type { ModelReport } from './scan-messages.ts'
import { isSettled } from './settling.ts'

export interface RemoteWatchContext {
  readonly settleMs: number
  readonly defaults: ModelSettings
  readonly clock: Clock
  readonly read: ReadSmall
  /** A problem that is worth a line in the log; undefined = there is none any more. */
  readonly onProblem: (path: string, problem: string | undefined) => void
}

const NONE_CHANGING: ReadonlyMap<string, number> = new Map()

export class RemoteModelWatch {
  readonly #name: string
  readonly #context: RemoteWatchContext
  #aliases: RemoteSidecar<ModelReport['aliases']> | undefined
  #settings: RemoteSidecar<string> | undefined
  #record: RemoteRecord | undefined
  /** When a version that is still changing was first seen as it is, by its source. */
  #changing = NONE_CHANGING

  /** @param before what is known of the model already; it serves until something else is seen */
  constructor(name: string, context: RemoteWatchContext, before: RemoteRecord | undefined) {
    this.#name = name
    this.#context = context
    this.#record = before
  }

  /** Something was seen that does not count yet: look again soon. */
  get isUnsettled(): boolean {
    return this.#changing.size > 0 || this.#aliases?.isUnknown === true || this.#settings?.isUnknown === true
  }

  /** Does it know more than its record says? One that does not may be made anew for the next look. */
  get hasMemory(): boolean {
    return this.#changing.size > 0 || this.#aliases !== undefined || this.#settings !== undefined
  }

  /** Takes in what a listing shows; the same record as before when nothing is another. */
  async look(model: FoundModel): Promise<RemoteRecord> {
    if (model.aliases !== undefined) this.#aliases ??= new RemoteSidecar(parseAliases)
    if (model.settings !== undefined)
      this.#settings ??= new RemoteSidecar((text) => settingsText(text, this.#context.defaults))
    const areSidecarsOther = await Promise.all([
      this.#lookAt(ALIASES_FILE, this.#aliases, model.aliases),
      this.#lookAt(SETTINGS_FILE, this.#settings, model.settings),
    ])
    const changing = new Map<string, number>()
    // Before settings were read for the first time a version would start with others than its owner's. What was reported
    // before they came goes on as it was: it serves.
    const mayStart = this.#settings?.isUnknown !== true
    const counted = model.versions.map((version) => mayStart && this.#isSettled(version, changing))
    this.#changing = changing.size === 0 ? NONE_CHANGING : changing
    const before = this.#record
    if (before !== undefined && !areSidecarsOther.includes(true) && areRecorded(before, model.versions, counted))
      return before
    const record = this.#compose(model.versions, counted)
    this.#record = record
    for (const { version, problem } of record.report.versions)
      this.#context.onProblem(`${this.#name}/${version}`, problem)
    return record
  }

  /** @param counted which of the versions count as they are now; the others are what they were before */
  #compose(versions: readonly FoundVersion[], counted: readonly boolean[]): RemoteRecord {
    const known = versions.map(({ facts, files }, index) => {
      const { version } = facts
      if (counted[index] === true) return { version, facts, files }
      const before = this.#record?.report.versions.find((one) => one.version === version)
      return { version, facts: before, files: this.#record?.files.find((one) => one[0] === version)?.[1] ?? [] }
    })
    return {
      report: composeReport(
        this.#name,
        known.map(({ version, facts }) => [version, facts]),
        this.#aliases?.value,
        this.#settings?.isThere === true ? this.#settings : undefined,
      ),
      files: known.flatMap(({ version, facts, files }) => (facts === undefined ? [] : [[version, files]])),
    }
  }

  #isSettled({ facts, newestMs }: FoundVersion, changing: Map<string, number>): boolean {
    const { settleMs, clock } = this.#context
    if (this.#record?.report.versions.some(({ sourceId }) => sourceId === facts.sourceId)) return true
    const since = this.#changing.get(facts.sourceId) ?? clock.now()
    if (isSettled(BigInt(newestMs) * 1_000_000n, since, settleMs, clock)) return true
    changing.set(facts.sourceId, since)
    return false
  }

  async #lookAt<T>(
    file: string,
    sidecar: RemoteSidecar<T> | undefined,
    object: FoundObject | undefined,
  ): Promise<boolean> {
    if (sidecar === undefined) return false
    const isChanged = await sidecar.look(object, this.#context.read)
    if (isChanged) this.#context.onProblem(`${this.#name}/${file}`, sidecar.problem)
    return isChanged
  }
}

function areRecorded(
  { report }: RemoteRecord,
  versions: readonly FoundVersion[],
  counted: readonly boolean[],
): boolean {
  return (
    report.pending.length === 0 &&
    report.versions.length === versions.length &&
    versions.every(({ facts }, index) => counted[index] === true && facts.sourceId === report.versions[index]?.sourceId)
  )
}
