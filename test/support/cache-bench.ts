/** An entry table on a manual clock whose drained entries are freed at once, unless the test closes their placements itself. */
import type { CacheEvent, EntryTableOptions } from '../../src/cache/entry-table.ts'
import { EntryTable } from '../../src/cache/entry-table.ts'
import { lru } from '../../src/cache/eviction-policy.ts'
import type { FailureMemoryOptions } from '../../src/cache/failure-memory.ts'
import type { Demand } from '../../src/cache/ledger.ts'
import { Ledger } from '../../src/cache/ledger.ts'
import { ManualClock } from './manual-clock.ts'

/** The signal of a caller that stays. */
export const never = new AbortController().signal

export interface CacheBenchOptions
  extends Partial<
    Pick<EntryTableOptions, 'policy' | 'minResidencyMs' | 'maxLoadWaiters' | 'maxEntries' | 'hasWork' | 'publish'>
  > {
  readonly budgetBytes?: number
  readonly failure?: Partial<FailureMemoryOptions>
  /** Free drained entries at once; they then must have no placement. */
  readonly autoFree?: boolean
}

export function cacheBench(options: CacheBenchOptions = {}) {
  const clock = new ManualClock()
  const ledger = new Ledger(options.budgetBytes ?? 1000)
  const events: CacheEvent[] = []
  const drained: string[] = []
  const table: EntryTable = new EntryTable({
    clock,
    ledger,
    policy: options.policy ?? lru,
    minResidencyMs: options.minResidencyMs ?? 0,
    maxLoadWaiters: options.maxLoadWaiters ?? 100,
    maxEntries: options.maxEntries ?? 1000,
    // The upper end of the jitter, so that pauses are round numbers.
    failure: { baseMs: 1000, maxMs: 600_000, maxEntries: 100, random: () => 1, ...options.failure },
    hasWork: options.hasWork ?? (() => false),
    publish: options.publish ?? ((event) => events.push(event)),
    onDrained: (key) => {
      drained.push(key)
      if (options.autoFree !== false) table.freed(key)
    },
  })
  /** A whole load, without waits for room. */
  const load = async (key: string, demand: Demand, { placement }: { readonly placement?: number } = {}) => {
    table.begin(key)
    await table.claim(key, demand)
    table.advance(key, 'paging')
    table.ready(key, demand)
    if (placement !== undefined) ledger.addPlacement(key, placement, demand.privateBytes)
  }
  return { clock, ledger, table, events, drained, load }
}
