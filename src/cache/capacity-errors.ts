/** The answers when memory cannot hold a model, with the arithmetic, so that an operator sees what to change. */
import { GatewayError } from '../domain/errors.ts'
import { formatByteSize } from '../lib/byte-size.ts'
import type { Entry } from './entry.ts'
import type { Demand } from './ledger.ts'
import { Ledger } from './ledger.ts'

export interface Occupants {
  readonly entries: Iterable<Entry>
  readonly isPinned: (key: string) => boolean
  /** Milliseconds until the first entry that is only too young may go. */
  readonly soonestMs: number | undefined
}

/** When nothing says how long leases last. */
const RETRY_AFTER_MS = 1000

export function modelTooLarge(key: string, demand: Demand, ledger: Ledger): GatewayError {
  const bytes = Ledger.wholeBytes(demand)
  return new GatewayError(
    'MODEL_TOO_LARGE',
    `${nameOf(key)} needs ${formatByteSize(bytes)}, more than the whole memory budget of ${formatByteSize(ledger.budgetBytes)}: ${ledger.explain(demand)}`,
    { details: { needBytes: bytes, budgetBytes: ledger.budgetBytes } },
  )
}

/** `demand` is absent when it is not for one model's bytes that room is missing. */
export function capacityExhausted(
  key: string,
  demand: Demand | undefined,
  ledger: Ledger,
  { entries, isPinned, soonestMs }: Occupants,
): GatewayError {
  const counts = { pinned: 0, leased: 0, loading: 0, young: 0, leaving: 0 }
  for (const entry of entries) {
    if (entry.key !== key) counts[keptBecause(entry, isPinned)]++
  }
  const { pinned, leased, loading, young, leaving } = counts
  const arithmetic = demand === undefined ? '' : `: ${ledger.explain(demand)}`
  return new GatewayError(
    'CAPACITY_EXHAUSTED',
    `no room for ${nameOf(key)}${arithmetic}; of the models here ${pinned} are pinned, ${leased} in use, ${loading} loading, ` +
      `${leaving} leaving, ${young} idle but too recent or too small to help`,
    {
      // Pins do not pass by themselves.
      ...(leased + loading + young + leaving > 0 && {
        retryAfterMs: Math.max(1, Math.ceil(soonestMs ?? RETRY_AFTER_MS)),
      }),
      details: {
        usedBytes: ledger.usedBytes,
        budgetBytes: ledger.budgetBytes,
        ...(demand === undefined ? {} : { needBytes: Ledger.wholeBytes(demand) }),
        ...counts,
      },
    },
  )
}

/** To those who waited for a model that was sent away in the moment it became ready. */
export function modelLoading(key: string): GatewayError {
  return new GatewayError('MODEL_LOADING', `${nameOf(key)} was unloaded while it was waited for; ask again`, {
    retryAfterMs: 1,
  })
}

function keptBecause(
  { key, status }: Entry,
  isPinned: (key: string) => boolean,
): 'pinned' | 'leased' | 'loading' | 'young' | 'leaving' {
  if (status.s === 'draining') return 'leaving'
  if (status.s !== 'ready') return 'loading'
  if (isPinned(key)) return 'pinned'
  return status.residency.leases > 0 ? 'leased' : 'young'
}

/** A key without the digest of its source, which says nothing to a caller. */
function nameOf(key: string): string {
  const hash = key.lastIndexOf('#')
  return hash === -1 ? key : key.slice(0, hash)
}
