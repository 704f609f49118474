/** Several stores as one: each brings the versions of the names under its prefix. */
import { GatewayError } from '../domain/errors.ts'
import type { FetchProgress } from '../domain/fetch-progress.ts'
import { printable } from '../domain/model-ref.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { NamePrefix } from '../domain/name-routes.ts'
import { NameRoutes } from '../domain/name-routes.ts'
import type { StagedSource, Store } from './store.ts'

export interface PrefixedStore {
  readonly prefix: NamePrefix
  readonly store: Store
}

export class RoutedStore implements Store {
  readonly #routes: NameRoutes<PrefixedStore>

  constructor(stores: readonly PrefixedStore[]) {
    this.#routes = new NameRoutes(stores)
  }

  async stage(version: ModelVersion, signal?: AbortSignal): Promise<StagedSource> {
    const route = this.#routes.of(version.name)
    if (route !== undefined) return await route.store.stage(version, signal)
    throw new GatewayError('ARTIFACT_UNREACHABLE', `no store has the name '${printable(version.name)}'`, {
      model: version.name,
    })
  }

  progressOf(key: string): FetchProgress | undefined {
    // A key begins with the name, in which there is no colon.
    return this.#routes.of(key.slice(0, key.indexOf(':')))?.store.progressOf(key)
  }
}
