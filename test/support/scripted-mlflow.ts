/** What MLflow's registry has, in memory, for the room that asks it: pages, numbers and states as the test sets them. */
import type { ListedModel, ListedVersion, MlflowReads, Page, PageRequest } from '../../src/registry/mlflow-listing.ts'

export class ScriptedMlflow implements MlflowReads {
  /** Models and versions of one page at most, whatever is asked for. */
  pageSize = 1000
  /** Lists of models are empty: all were made after they were read. */
  hidesModels = false
  /** Of calls from here on, with this error. */
  fails: Error | undefined
  /** Calls so far, as `models`, `versions` or `model <name>`. */
  readonly calls: string[] = []
  /** Runs before a call is answered. */
  onCall: (call: string) => Promise<void> | void = () => {}
  readonly #models = new Map<string, { aliases: Map<string, string>; tags: Map<string, string> }>()
  readonly #versions: ListedVersion[] = []
  #createdMs = 0

  /** A version of this number, in place of one that has it. */
  add(name: string, version: string, facts: Partial<Pick<ListedVersion, 'status' | 'tags' | 'runId'>> = {}): void {
    this.#model(name)
    this.#remove(name, version)
    const { status = 'READY', tags = new Map(), runId } = facts
    this.#versions.push({ name, version, status, tags, runId, createdMs: ++this.#createdMs })
  }

  /** The model goes with its last version. */
  remove(name: string, version: string): void {
    this.#remove(name, version)
    if (!this.#versions.some((one) => one.name === name)) this.#models.delete(name)
  }

  setAliases(name: string, aliases: Readonly<Record<string, string>>): void {
    this.#model(name).aliases = new Map(Object.entries(aliases))
  }

  setTag(name: string, key: string, value: string): void {
    this.#model(name).tags.set(key, value)
  }

  setStatus(name: string, version: string, status: string): void {
    const at = this.#versions.findIndex((one) => one.name === name && one.version === version)
    const one = this.#versions[at]
    if (one !== undefined) this.#versions[at] = { ...one, status }
  }

  async models(page: PageRequest): Promise<Page<ListedModel>> {
    await this.#called('models')
    return this.#page(this.hidesModels ? [] : [...this.#models.keys()].map((name) => this.#listed(name)), page)
  }

  async versions({ name, ...page }: PageRequest & { readonly name?: string }): Promise<Page<ListedVersion>> {
    await this.#called('versions')
    return this.#page(name === undefined ? this.#versions : this.#versions.filter((one) => one.name === name), page)
  }

  async model(name: string): Promise<ListedModel | undefined> {
    await this.#called(`model ${name}`)
    return this.#models.has(name) ? this.#listed(name) : undefined
  }

  async #called(call: string): Promise<void> {
    this.calls.push(call)
    await this.onCall(call)
    if (this.fails !== undefined) throw this.fails
  }

  #model(name: string): { aliases: Map<string, string>; tags: Map<string, string> } {
    const model = this.#models.get(name) ?? { aliases: new Map(), tags: new Map() }
    this.#models.set(name, model)
    return model
  }

  #listed(name: string): ListedModel {
    const { aliases, tags } = this.#model(name)
    return { name, aliases: [...aliases], tags: new Map(tags) }
  }

  /** By offset, as MLflow does: what comes or goes meanwhile moves the rest. */
  #page<T>(all: readonly T[], { pageToken, limit }: PageRequest): Page<T> {
    const from = Number(pageToken ?? 0)
    const to = from + Math.min(limit, this.pageSize)
    return { items: all.slice(from, to), next: to < all.length ? `${to}` : undefined }
  }

  #remove(name: string, version: string): void {
    const at = this.#versions.findIndex((one) => one.name === name && one.version === version)
    if (at >= 0) this.#versions.splice(at, 1)
  }
}
