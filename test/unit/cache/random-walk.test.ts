/**
 * A seeded walk of 10,000 steps over everything that can happen to a replica's memory: loads that share backbones, failures,
 * clients that leave, evictions whose closes take their time, placements that die, measurements that disagree.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { EntryTable } from '../../../src/cache/entry-table.ts'
import { lru } from '../../../src/cache/eviction-policy.ts'
import type { Lease } from '../../../src/cache/lease.ts'
import type { Demand } from '../../../src/cache/ledger.ts'
import { Ledger } from '../../../src/cache/ledger.ts'
import { MappingBudget } from '../../../src/cache/mapping-budget.ts'
import { PlacementTable } from '../../../src/cache/placement-table.ts'
import { GatewayError } from '../../../src/domain/errors.ts'
import { assertCacheAtRest, assertCacheInvariants, EvictionWatch } from '../../support/cache-invariants.ts'
import { ManualClock, settle } from '../../support/manual-clock.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const MODELS = 40
const WORKERS = ['w0', 'w1', 'w2']
const MIN_RESIDENCY_MS = 20

class Walk {
  readonly #random: () => number
  readonly #grows: boolean
  readonly clock = new ManualClock()
  readonly ledger = new Ledger(1300)
  readonly mappings = new MappingBudget(7)
  readonly drained = new Set<string>()
  readonly claiming = new Set<string>()
  readonly granted = new Set<string>()
  readonly leases: Lease[] = []
  readonly loads = new Map<string, number>()
  readonly watch = new EvictionWatch(
    () => this.table,
    () => this.clock.now(),
    MIN_RESIDENCY_MS,
  )
  readonly table: EntryTable
  readonly placements: PlacementTable
  readonly outcomes: Record<string, number> = {}

  /** `grows`: measured costs may exceed their estimates. */
  constructor(seed: number, grows: boolean) {
    this.#random = seededRandom(seed)
    this.#grows = grows
    this.table = new EntryTable({
      clock: this.clock,
      ledger: this.ledger,
      policy: lru,
      minResidencyMs: MIN_RESIDENCY_MS,
      maxLoadWaiters: 20,
      maxEntries: 30,
      failure: { baseMs: 50, maxMs: 500, maxEntries: 10, random: this.#random },
      hasWork: () => false,
      publish: (event) => {
        this.watch.see(event)
        if (event.kind !== 'moved') return
        if (event.to === 'ready' || event.to === 'gone' || event.to === 'failed') this.loads.delete(event.key)
      },
      onDrained: (key) => this.drained.add(key),
    })
    this.placements = new PlacementTable({
      clock: this.clock,
      ledger: this.ledger,
      mappings: this.mappings,
      publish: () => undefined,
      onBytesChanged: () => this.table.rebalance(),
    })
  }

  get mayOverrun(): boolean {
    return this.#grows
  }

  async step(): Promise<void> {
    const key = `m${Math.floor(this.#random() ** 1.2 * MODELS)}`
    const steps = [
      () => this.#use(key),
      () => this.#use(key),
      () => this.#load(key),
      () => this.#load(key),
      () => this.#finish(key),
      () => this.#finish(key),
      () => this.#release(),
      () => this.#place(key),
      () => this.#close(key),
      () => this.#close(key),
      () => this.#place(key),
      () => this.#open(),
      () => this.#crash(),
      () => this.#unload(key),
      () => this.#pinOrUnpin(key),
      () => this.#fail(key),
    ]
    steps[Math.floor(this.#random() * steps.length)]?.()
    this.clock.tick(this.#random() * 5)
    await Promise.resolve()
  }

  /** Ends everything in an orderly way. */
  async end(): Promise<void> {
    for (const lease of this.leases.splice(0)) lease.release()
    for (let round = 0; round < 100; round++) {
      await settle()
      for (const key of Array.from(this.drained)) this.#close(key)
      for (const entry of Array.from(this.table.entries())) if (this.granted.has(entry.key)) this.#finish(entry.key)
      for (const lease of this.leases.splice(0)) lease.release()
    }
  }

  /** Sizes follow from the name; three backbones are shared. */
  demandOf(key: string): Demand {
    const n = Number(key.slice(1))
    return {
      privateBytes: 5 + (n % 7) * 10,
      activationBytes: n % 5,
      blobs: [
        { digest: `backbone-${n % 3}`, bytes: 100 * (1 + (n % 3)) },
        { digest: `head-${n}`, bytes: 10 * (n % 11) },
      ],
    }
  }

  #use(key: string): void {
    const lease = this.table.acquire(key)
    if (lease !== undefined) this.leases.push(lease)
  }

  #release(): void {
    const [lease] = this.leases.splice(Math.floor(this.#random() * this.leases.length), 1)
    lease?.release()
    lease?.release()
  }

  #load(key: string): void {
    const state = this.table.get(key)?.status.s
    if (state === undefined || state === 'failed') this.#begin(key)
    else this.#wait(key)
  }

  #begin(key: string): void {
    try {
      this.table.begin(key)
    } catch (error) {
      this.#note((error as GatewayError).code)
      return
    }
    this.loads.set(key, (this.loads.get(key) ?? 0) + 1)
    assert.equal(this.loads.get(key), 1, `${key} is loaded twice at once`)
    const guess = { privateBytes: 50 + Math.floor(this.#random() * 300), activationBytes: 0, blobs: [] }
    this.#claim(key, this.#random() < 0.5 ? guess : this.demandOf(key))
    if (this.#random() < 0.5) this.#wait(key)
  }

  #wait(key: string): void {
    const stop = new AbortController()
    const keep = (lease: Lease) => void this.leases.push(lease)
    const drop = (reason: unknown) => this.#note(reason instanceof GatewayError ? reason.code : 'left')
    this.table.join(key, stop.signal).then(keep, drop)
    if (this.#random() < 0.3) stop.abort(new Error('left'))
  }

  #claim(key: string, demand: Demand): void {
    this.claiming.add(key)
    this.granted.delete(key)
    const granted = () => this.granted.add(key)
    const refused = (reason: unknown) => {
      const state = this.table.get(key)?.status.s
      if (state === 'queued' || state === 'paging') this.table.fail(key, reason)
    }
    this.table
      .claim(key, demand)
      .finally(() => this.claiming.delete(key))
      .then(granted, refused)
  }

  #finish(wanted: string): void {
    const key = this.granted.has(wanted) ? wanted : ([...this.granted][0] ?? wanted)
    const state = this.table.get(key)?.status.s
    if (!this.granted.delete(key) || (state !== 'queued' && state !== 'paging')) return
    if (state === 'paging') this.table.ready(key, this.demandOf(key))
    else {
      this.table.advance(key, 'paging')
      this.#claim(key, this.demandOf(key))
    }
  }

  #fail(key: string): void {
    if (this.#random() < 0.4) this.table.forgetFailure(key)
    if (this.claiming.has(key) || this.#random() < 0.4) return
    this.granted.delete(key)
    const code = this.#random() < 0.1 ? 'ARTIFACT_INVALID' : 'STORE_UNAVAILABLE'
    this.table.fail(key, new GatewayError(code, 'as the dice fell'))
  }

  #unload(key: string): void {
    this.table.drain(key, 'unload')
  }

  #pinOrUnpin(key: string): void {
    if (this.table.isPinned(key)) this.table.unpin(key)
    else if (this.#random() < 0.3) this.table.pin(key)
  }

  #place(key: string): void {
    for (const workerId of WORKERS) this.#placeIn(workerId, key)
  }

  #placeIn(workerId: string, key: string): void {
    if (this.ledger.phaseOf(key) !== 'resident' || this.placements.find(key, workerId) !== undefined) return
    const { privateBytes } = this.demandOf(key)
    const placed = this.placements.begin({ key, workerId, isPacked: false, privateBytes, mappings: 3 })
    if ('lacks' in placed) {
      this.#note(placed.lacks)
      if (placed.lacks === 'bytes') this.table.makeRoom(placed.missing)
    }
  }

  #open(): void {
    for (const { id, privateBytes, mappings, status } of Array.from(this.placements.ofWorker(this.#worker()))) {
      if (status.s !== 'opening') continue
      const factor = this.#grows ? 0.5 + this.#random() : 1 - this.#random() / 2
      this.placements.opened(id, { privateBytes: Math.floor(privateBytes * factor), mappings })
    }
  }

  #crash(): void {
    if (this.#random() < 0.3) this.placements.workerDown(this.#worker(), 'killed')
  }

  #close(key: string): void {
    const leaving = this.drained.has(key) ? key : [...this.drained][0]
    if (leaving === undefined) return
    for (const { id } of Array.from(this.placements.ofKey(leaving))) {
      this.placements.closing(id)
      this.placements.gone(id)
    }
    this.drained.delete(leaving)
    this.table.freed(leaving)
  }

  #worker(): string {
    return WORKERS[Math.floor(this.#random() * WORKERS.length)] ?? 'w0'
  }

  #note(outcome: string): void {
    this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + 1
  }
}

describe('a random walk of 10,000 steps', () => {
  for (const { seed, grows } of [
    { seed: 1, grows: false },
    { seed: 2, grows: false },
    { seed: 3, grows: true },
  ]) {
    it(`breaks no invariant (seed ${seed}, measurements ${grows ? 'above and below' : 'at most at'} their estimates)`, async () => {
      const walk = new Walk(seed, grows)
      for (let i = 0; i < 10_000; i++) {
        await walk.step()
        assertCacheInvariants(walk.table, walk.ledger, walk)
      }
      // A walk that never met a case proves nothing about it.
      assert.ok(walk.watch.evictions > 100, `${walk.watch.evictions} evictions`)
      for (const met of ['CAPACITY_EXHAUSTED', 'STORE_UNAVAILABLE', 'ARTIFACT_INVALID', 'left', 'mappings', 'bytes']) {
        assert.ok((walk.outcomes[met] ?? 0) > 0, `the walk met no '${met}': ${JSON.stringify(walk.outcomes)}`)
      }
      await walk.end()
      assertCacheAtRest(walk.table, walk.ledger)
    })
  }
})
