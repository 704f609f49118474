/** Where in the cache folder a remote registry keeps what it knows, for a start that finds nobody who answers. */
import { hash } from 'node:crypto'
import { join } from 'node:path'
import { RegistrySnapshot } from '../registry/registry-snapshot.ts'
import { REGISTRY_FOLDER } from './cache-layout.ts'
import type { SourceDeps } from './source-place.ts'

const NAME_DIGITS = 24

/** `origin`: all that makes the registry another one. */
export function knownModels<F>(origin: string, { config, clock }: SourceDeps): RegistrySnapshot<F> {
  const name = hash('sha256', origin, 'hex').slice(0, NAME_DIGITS)
  return new RegistrySnapshot({ path: join(config.cache.dir, REGISTRY_FOLDER, `${name}.jsonl`), origin, clock })
}
