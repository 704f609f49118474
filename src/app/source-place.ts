/** One place with models, as whatever opens a kind of place is given it and gives it back. */
import type { Config } from '../config/schema.ts'
import type { NamePrefix } from '../domain/name-routes.ts'
import type { Clock } from '../lib/clock.ts'
import type { WatchedRegistry } from '../registry/registry.ts'
import type { Staging } from '../store/staging.ts'
import type { Store } from '../store/store.ts'
import type { EventSink } from './event-sink.ts'

/** A place with models, and the prefix of the names that it has; '' = those that no other place is for. */
export interface SourcePlace {
  readonly prefix: NamePrefix
  readonly models: string
}

export interface SourceDeps {
  readonly config: Config
  readonly clock: Clock
  readonly onEvent: EventSink
  /** One for all places; made when the first asks. */
  readonly staging: () => Promise<Staging>
}

/** One place. */
export interface OpenSource {
  readonly registry: WatchedRegistry
  readonly store: Store
  close(): Promise<void>
}
