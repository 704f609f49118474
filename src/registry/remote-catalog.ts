/**
 * The models of a registry whose files lie elsewhere, in memory: records go in, changes come out, refs are resolved and sources are given
 * without a call to anybody.
 */
import { GatewayError } from '../domain/errors.ts'
import type { ModelRef } from '../domain/model-ref.ts'
import { printable } from '../domain/model-ref.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { Clock } from '../lib/clock.ts'
import type { ChangeFeed } from './change-feed.ts'
import type { ModelDefaults } from './model-settings.ts'
import { defaultSettings } from './model-settings.ts'
import { ModelTable } from './model-table.ts'
import { NameHints } from './name-hints.ts'
import type { RemoteRecord } from './remote-model.ts'

export interface RemoteCatalogOptions {
  readonly defaults: ModelDefaults
  readonly settleMs: number
  readonly clock: Clock
  readonly changes: ChangeFeed
}

/** `F`: what is known of the files of a version. */
export class RemoteCatalog<F> {
  readonly table: ModelTable
  readonly #hints: NameHints
  readonly #changes: ChangeFeed
  readonly #records = new Map<string, RemoteRecord<F>>()

  constructor({ defaults, settleMs, clock, changes }: RemoteCatalogOptions) {
    this.table = new ModelTable(defaultSettings(defaults), settleMs)
    this.#hints = new NameHints(() => this.table.names(), clock)
    this.#changes = changes
  }

  /** What is known of each model. */
  records(): Iterable<RemoteRecord<F>> {
    return this.#records.values()
  }

  recordOf(name: string): RemoteRecord<F> | undefined {
    return this.#records.get(name)
  }

  /** Replaces what is known of one model; one without versions is gone. Whether anything is another now. */
  apply(record: RemoteRecord<F>): boolean {
    const { name } = record.report
    const isKnown = this.table.has(name)
    if (isKnown && this.#records.get(name) === record) return false
    // Before the news is told: whoever hears it may fetch at once.
    this.#records.set(name, record)
    const changes = this.table.apply(record.report)
    if (!this.table.has(name)) this.#records.delete(name)
    if (this.table.has(name) !== isKnown) this.#hints.reset()
    for (const change of changes) this.#changes.publish(change)
    return changes.length > 0
  }

  remove(name: string): boolean {
    return this.apply({ report: { name, versions: [], pending: [], aliases: [] }, files: [] })
  }

  /** @throws GatewayError; undefined for an unknown name */
  resolve(ref: ModelRef): ModelVersion | undefined {
    return this.table.resolve(ref)
  }

  /** @throws GatewayError ARTIFACT_UNREACHABLE for a version that is not known any more */
  filesOf({ name, version, sourceId }: ModelVersion): F {
    const record = this.#records.get(name)
    const isSame = record?.report.versions.some((facts) => facts.version === version && facts.sourceId === sourceId)
    const files = isSame === true ? record?.files.find(([known]) => known === version)?.[1] : undefined
    if (files !== undefined) return files
    throw new GatewayError(
      'ARTIFACT_UNREACHABLE',
      `version ${version} of '${name}' cannot be fetched: its files were replaced or removed`,
      { model: name, version },
    )
  }

  notFound(name: string): GatewayError {
    const near = this.#hints.near(name)
    const hint = near.length === 0 ? '' : `; near names are ${near.map((other) => `'${other}'`).join(', ')}`
    return new GatewayError('MODEL_NOT_FOUND', `there is no model '${printable(name)}'${hint}`, { model: name })
  }
}
