/**
 * Resolves what a client asked for, and hands the opaque request to the replica that serves it. Knows nothing of bodies,
 * sessions or memory. One replica in this process today; ranking and failing over between many belong here as well.
 */
import { GatewayError } from '../domain/errors.ts'
import type { InferAnswer, InferRequest, ModelStatistics } from '../domain/inference.ts'
import type { ModelRef } from '../domain/model-ref.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { Gateway, IndexRow, ModelMetadata } from './gateway.ts'
import type { ReplicaClient, VersionDirectory } from './replica-client.ts'

export class Router implements Gateway {
  readonly #directory: VersionDirectory
  readonly #replica: ReplicaClient

  constructor(directory: VersionDirectory, replica: ReplicaClient) {
    this.#directory = directory
    this.#replica = replica
  }

  async infer(request: InferRequest): Promise<InferAnswer> {
    return this.#replica.infer(this.#directory.resolve(request.ref), request)
  }

  async metadata(ref: ModelRef, signal: AbortSignal, onWalk?: () => void): Promise<ModelMetadata> {
    const version = this.#directory.resolve(ref)
    const inspection = await this.#replica.inspect(version, signal, onWalk)
    return {
      name: version.name,
      version: version.version,
      versions: this.#directory.versionsOf(version.name).map((one) => one.version),
      aliases: this.#directory.aliasesOf(version.name),
      settings: settingsOf(version),
      ...inspection,
    }
  }

  async modelReady(ref: ModelRef): Promise<{ isReady: boolean; name: string; version: string; reason: string }> {
    const version = this.#directory.resolve(ref)
    const { state, reason } = this.#replica.stateOf(version.key)
    // Not resident is not unready: what can be served on demand is ready. Only a load that failed is not.
    return { isReady: state !== 'UNAVAILABLE' || reason === '', name: version.name, version: version.version, reason }
  }

  async index({ readyOnly }: { readonly readyOnly: boolean }): Promise<readonly IndexRow[]> {
    const rows: IndexRow[] = []
    for (const { key, name, version } of this.#directory.list()) {
      const { state, reason } = this.#replica.stateOf(key)
      if (!readyOnly || state === 'READY') rows.push({ name, version, state, reason })
    }
    return rows
  }

  modelNames(): readonly string[] {
    return this.#directory.names()
  }

  async load(ref: ModelRef, signal: AbortSignal): Promise<{ name: string; version: string }> {
    const version = this.#directory.resolve(ref)
    await this.#replica.load(version, signal)
    return { name: version.name, version: version.version }
  }

  async unload(ref: ModelRef, signal: AbortSignal): Promise<{ name: string; version: string }> {
    const version = this.#directory.resolve(ref)
    // Without a version every resident one goes, as an operator who wants the memory back would expect.
    const targets =
      ref.version === undefined && ref.alias === undefined ? this.#directory.versionsOf(ref.name) : [version]
    await Promise.all(targets.map((target) => this.#replica.unload(target.key, signal)))
    return { name: version.name, version: version.version }
  }

  async statistics(ref?: ModelRef): Promise<readonly ModelStatistics[]> {
    const versions: Iterable<ModelVersion> = ref === undefined ? this.#directory.list() : this.#versionsMeant(ref)
    const rows: ModelStatistics[] = []
    for (const version of versions) {
      const row = this.#replica.statisticsOf(version)
      if (row !== undefined) rows.push(row)
    }
    return rows
  }

  notReadyReason(): string | undefined {
    return this.#replica.notReadyReason()
  }

  #versionsMeant(ref: ModelRef): readonly ModelVersion[] {
    if (ref.version !== undefined || ref.alias !== undefined) return [this.#directory.resolve(ref)]
    const versions = this.#directory.versionsOf(ref.name)
    if (versions.length === 0)
      throw new GatewayError('MODEL_NOT_FOUND', `no model is named '${ref.name}'`, { model: ref.name })
    return versions
  }
}

function settingsOf({ settings, modelFile }: ModelVersion): ModelMetadata['settings'] {
  const { batching, intraOpThreads } = settings
  return { batching, intraOpThreads, modelFile }
}
