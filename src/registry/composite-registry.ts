/**
 * Several registries as one. Each has the names under its prefix and no others: what it lists outside of it, or where a longer prefix
 * is another's, is passed over and told once, so that nobody's models stand in for somebody else's. One that does not answer leaves
 * the names of the others as they are.
 */
import { GatewayError } from '../domain/errors.ts'
import type { ModelRef } from '../domain/model-ref.ts'
import { printable } from '../domain/model-ref.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { NamePrefix } from '../domain/name-routes.ts'
import { NameRoutes } from '../domain/name-routes.ts'
import { detach } from '../lib/detach.ts'
import type { Registry, RegistryChange, RegistryEventSink, WatchedRegistry } from './registry.ts'

export interface PrefixedRegistry {
  readonly prefix: NamePrefix
  readonly registry: WatchedRegistry
}

const NO_ALIASES: ReadonlyMap<string, string> = new Map()

export class CompositeRegistry implements Registry {
  readonly initialScan: Promise<void>
  readonly #parts: readonly Part[]
  readonly #routes: NameRoutes<Part>

  /** Closes the registries that it was given. */
  constructor(registries: readonly PrefixedRegistry[], onEvent: RegistryEventSink) {
    const parts = registries.map(
      ({ prefix, registry }) => new Part(prefix, registry, (name) => this.#routes.of(name)?.prefix, onEvent),
    )
    this.#parts = parts
    this.#routes = new NameRoutes(parts)
    this.initialScan = allDone(parts.map(({ registry }) => registry.initialScan))
  }

  async start(): Promise<void> {
    await Promise.all(this.#parts.map(({ registry }) => registry.start()))
  }

  resolve(ref: ModelRef): ModelVersion {
    const part = this.#routes.of(ref.name)
    if (part !== undefined) return part.registry.resolve(ref)
    throw new GatewayError('MODEL_NOT_FOUND', `there is no model '${printable(ref.name)}'`, { model: ref.name })
  }

  versionsOf(name: string): readonly ModelVersion[] {
    return this.#routes.of(name)?.registry.versionsOf(name) ?? []
  }

  aliasesOf(name: string): ReadonlyMap<string, string> {
    return this.#routes.of(name)?.registry.aliasesOf(name) ?? NO_ALIASES
  }

  names(): readonly string[] {
    return this.#parts.flatMap((part) => part.registry.names().filter((name) => part.has(name)))
  }

  *list(): Iterable<ModelVersion> {
    for (const part of this.#parts)
      for (const version of part.registry.list()) if (part.has(version.name)) yield version
  }

  get size(): WatchedRegistry['size'] {
    const sizes = this.#parts.map((part) => part.size)
    return {
      models: sizes.reduce((sum, { models }) => sum + models, 0),
      versions: sizes.reduce((sum, { versions }) => sum + versions, 0),
    }
  }

  hasScanned(name: string): boolean {
    return this.#routes.of(name)?.registry.hasScanned(name) ?? true
  }

  onChange(listener: (change: RegistryChange) => void): () => void {
    const ends = this.#parts.map((part) =>
      part.registry.onChange((change) => {
        if (part.has(change.version.name)) listener(change)
      }),
    )
    return () => {
      for (const end of ends) end()
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#parts.map(({ registry }) => registry.close()))
  }
}

/** One registry, and what it lists that is not its own. */
class Part {
  readonly prefix: NamePrefix
  readonly registry: WatchedRegistry
  readonly #ownerOf: (name: string) => NamePrefix | undefined
  readonly #onEvent: RegistryEventSink
  readonly #foreign = new Set<string>()
  #isScanned = false
  #isTold = false

  constructor(
    prefix: NamePrefix,
    registry: WatchedRegistry,
    ownerOf: (name: string) => NamePrefix | undefined,
    onEvent: RegistryEventSink,
  ) {
    this.prefix = prefix
    this.registry = registry
    this.#ownerOf = ownerOf
    this.#onEvent = onEvent
    registry.onChange(({ version }) => this.#note(version.name))
    detach(this.#tellOnceScanned())
  }

  has(name: string): boolean {
    return this.#ownerOf(name) === this.prefix
  }

  /** Without what is not its own. */
  get size(): WatchedRegistry['size'] {
    let { models, versions } = this.registry.size
    for (const name of this.#foreign) {
      models--
      versions -= this.registry.versionsOf(name).length
    }
    return { models, versions }
  }

  #note(name: string): void {
    if (this.has(name)) return
    if (this.registry.versionsOf(name).length === 0) this.#foreign.delete(name)
    else this.#foreign.add(name)
    if (this.#isScanned) this.#tell()
  }

  async #tellOnceScanned(): Promise<void> {
    await this.registry.initialScan
    this.#isScanned = true
    this.#tell()
  }

  /** Once: what is there at the start is one line, however much it is. */
  #tell(): void {
    const [first] = this.#foreign
    if (this.#isTold || first === undefined) return
    this.#isTold = true
    const { prefix } = this
    this.#onEvent('registry.foreign_names', { prefix, names: this.#foreign.size, one: first })
  }
}

async function allDone(work: readonly Promise<void>[]): Promise<void> {
  await Promise.all(work)
}
