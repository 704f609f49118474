/** What must hold after every step of anything that owns an entry table: asserted, never repaired. */
import assert from 'node:assert/strict'
import type { Entry } from '../../src/cache/entry.ts'
import type { CacheEvent, EntryTable } from '../../src/cache/entry-table.ts'
import type { Demand, Ledger } from '../../src/cache/ledger.ts'

/** `mayOverrun`: measured costs have exceeded their estimates, so the budget may be exceeded until something can go. */
export function assertCacheInvariants(
  table: EntryTable,
  ledger: Ledger,
  { mayOverrun = false }: { readonly mayOverrun?: boolean } = {},
): void {
  const { awaited, ...parts } = ledger.snapshot()
  const kinds = Object.entries(parts)
  for (const [kind, bytes] of Object.entries(ledger.snapshot())) assert.ok(bytes >= 0, `${kind} is ${bytes}`)
  const sum = kinds.reduce((total, [, bytes]) => total + bytes, 0)
  assert.equal(sum, ledger.usedBytes, 'the kinds add up to what is used')
  if (!mayOverrun) {
    assert.ok(ledger.usedBytes <= ledger.budgetBytes, `used ${ledger.usedBytes} of ${ledger.budgetBytes}`)
    assert.ok(
      ledger.committedBytes <= ledger.budgetBytes,
      `committed ${ledger.committedBytes} of ${ledger.budgetBytes}`,
    )
    assert.ok(
      parts.leaving > 0 || table.pending.claims === 0,
      `${table.pending.claims} claims for ${awaited} bytes wait though nothing is leaving`,
    )
  }
  const entries = [...table.entries()]
  assert.equal(new Set(entries.map(({ key }) => key)).size, entries.length, 'one entry a key')
  for (const entry of entries) assertCharged(entry, ledger)
  const known = new Set(entries.map(({ key }) => key))
  for (const key of ledger.keys()) assert.ok(known.has(key), `${key} is charged without an entry`)
  const leases = entries.reduce((total, { status }) => total + ('residency' in status ? status.residency.leases : 0), 0)
  assert.equal(table.pending.leases, leases, 'leases are counted by entry')
}

/** At the end of anything: nobody holds or waits. */
export function assertCacheAtRest(table: EntryTable, ledger: Ledger): void {
  assertCacheInvariants(table, ledger)
  assert.deepEqual(table.pending, { leases: 0, waiters: 0, claims: 0 })
  assert.equal(ledger.snapshot().reserved, 0, 'no reservation outlives its load')
}

function assertCharged({ key, status }: Entry, ledger: Ledger): void {
  const phase = ledger.phaseOf(key)
  if (status.s === 'ready') assert.equal(phase, 'resident', `${key} is ready`)
  else if (status.s === 'draining') assert.equal(phase, 'leaving', `${key} is draining`)
  else assert.ok(phase === undefined || phase === 'awaiting' || phase === 'reserved', `${key} loads and is ${phase}`)
}

/** The bytes that a set of demands needs, worked out from scratch: what a ledger's sums are compared with. */
export function bytesOf(demands: Iterable<Demand>): number {
  const blobs = new Map<string, number>()
  let bytes = 0
  for (const demand of demands) {
    bytes += demand.privateBytes + demand.activationBytes
    for (const blob of demand.blobs) blobs.set(blob.digest, blob.bytes)
  }
  for (const size of blobs.values()) bytes += size
  return bytes
}

/** Watches the events of a table: nothing leased, pinned or too young is ever evicted, and no key has two loads at once. */
export class EvictionWatch {
  readonly #table: () => EntryTable
  readonly #now: () => number
  readonly #minResidencyMs: number
  evictions = 0

  constructor(table: () => EntryTable, now: () => number, minResidencyMs: number) {
    this.#table = table
    this.#now = now
    this.#minResidencyMs = minResidencyMs
  }

  see(event: CacheEvent): void {
    if (event.kind !== 'evicted') return
    this.evictions++
    const status = this.#table().get(event.key)?.status
    assert.equal(status?.s, 'ready', `${event.key} is evicted`)
    if (status.s !== 'ready') return
    assert.equal(status.residency.leases, 0, `${event.key} is evicted while leased`)
    assert.equal(this.#table().isPinned(event.key), false, `${event.key} is evicted while pinned`)
    assert.ok(this.#now() - status.residency.readyAt >= this.#minResidencyMs, `${event.key} is evicted too young`)
  }
}
