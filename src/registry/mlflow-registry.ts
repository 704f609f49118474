/**
 * Models of an MLflow registry. A version is served once MLflow says that it is READY; without version or alias it is the one of the
 * default alias where the model has that alias, else the latest.
 */
import type { ModelVersion } from '../domain/model-version.ts'
import type { MlflowReads } from './mlflow-listing.ts'
import type { MlflowFiles, SaidSettings } from './mlflow-record.ts'
import { MlflowSweeper } from './mlflow-sweeper.ts'
import type { RemoteRegistryOptions } from './remote-registry.ts'
import { RemoteRegistry } from './remote-registry.ts'

export interface MlflowRegistryOptions
  extends Omit<RemoteRegistryOptions<MlflowFiles, MlflowSweeper>, 'sweeper' | 'settleMs'> {
  readonly reads: MlflowReads
  /** Tells this registry from others: it goes into the identity of versions. */
  readonly origin: string
  /** The alias whose version is served by default; null = the latest version. */
  readonly defaultAlias: string | null
}

export class MlflowRegistry extends RemoteRegistry<MlflowFiles, MlflowSweeper> {
  constructor(options: MlflowRegistryOptions) {
    const { reads, origin, defaultAlias, defaults } = options
    super({
      ...options,
      settleMs: 0,
      sweeper: (parts) => new MlflowSweeper({ ...parts, reads, origin, defaultAlias, defaults }),
    })
  }

  /** The files of a version were read: from here on it is run as they say, where its owner says nothing else. */
  learn({ name, sourceId }: ModelVersion, said: SaidSettings): void {
    if (this.sweeper.learn(name, sourceId, said)) this.saveSoon()
  }
}
