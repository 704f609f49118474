/** Who may share a process: everybody, the models of one tenant, or the versions of one model. */
import { tenantOf } from './model-ref.ts'

export type Isolation = 'shared' | 'tenant' | 'model'

/** The trust domain of a ModelKey; undefined when everybody shares. */
export function trustDomain(key: string, isolation: Isolation): string | undefined {
  if (isolation === 'shared') return undefined
  // A name has no colon.
  const name = key.slice(0, key.indexOf(':'))
  return isolation === 'model' ? name : tenantOf(name)
}
