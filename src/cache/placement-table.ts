/**
 * The placements of a replica: which ModelKey is open in which worker. Charges the ledger and the workers' mapping budgets
 * before a session is opened, corrects both once it was measured, gives back when the close has completed.
 * At most one placement of a key in a worker. Opens and closes nothing itself.
 */
import { slotOf } from '../domain/worker-slot.ts'
import type { Clock } from '../lib/clock.ts'
import type { DeviceLedger } from './device-ledger.ts'
import type { Ledger } from './ledger.ts'
import type { MappingBudget } from './mapping-budget.ts'
import type { Placement, PlacementMove, PlacementStatus } from './placement.ts'
import { placementMachine } from './placement.ts'
import type { StateMachine } from './state-machine.ts'

export interface PlacementTableOptions {
  readonly clock: Clock
  readonly ledger: Ledger
  readonly mappings: MappingBudget
  /** Of the GPU that sessions are on; absent on the CPU. */
  readonly device?: DeviceLedger | undefined
  readonly publish: (move: PlacementMove) => void
  /** Bytes were corrected or given back: the owner of the entries may grant or has to evict. */
  readonly onBytesChanged: () => void
}

export interface PlacementRequest {
  readonly key: string
  readonly workerId: string
  readonly isPacked: boolean
  /** Expected, or as measured the last time. */
  readonly privateBytes: number
  readonly mappings: number
  /** Of the GPU's memory; 0 on the CPU. */
  readonly deviceBytes?: number
}

/** Why a placement cannot be made now: bytes that the ledger or the GPU's lacks, or mappings that the worker lacks. */
export type PlacementShortfall =
  | { readonly lacks: 'bytes'; readonly missing: number }
  | { readonly lacks: 'mappings'; readonly missing: number }
  | { readonly lacks: 'device'; readonly missing: number }

export class PlacementTable {
  readonly #ledger: Ledger
  readonly #mappings: MappingBudget
  readonly #device: DeviceLedger | undefined
  readonly #machine: StateMachine<PlacementStatus>
  readonly #clock: Clock
  readonly #onBytesChanged: () => void
  readonly #byId = new Map<number, Placement>()
  readonly #byKey = new Map<string, Map<string, Placement>>()
  /** Least recently used first. */
  readonly #byWorker = new Map<string, Map<string, Placement>>()
  #lastId = 0

  constructor({ clock, ledger, mappings, device, publish, onBytesChanged }: PlacementTableOptions) {
    this.#onBytesChanged = onBytesChanged
    this.#clock = clock
    this.#ledger = ledger
    this.#mappings = mappings
    this.#device = device
    this.#machine = placementMachine(clock, publish)
  }

  get size(): number {
    return this.#byId.size
  }

  some(test: (placement: Placement) => boolean): boolean {
    for (const placement of this.#byId.values()) if (test(placement)) return true
    return false
  }

  get(id: number): Placement | undefined {
    return this.#byId.get(id)
  }

  /** In whatever state; `closing` ones too. */
  find(key: string, workerId: string): Placement | undefined {
    return this.#byKey.get(key)?.get(workerId)
  }

  /** Is there one in a slot's worker, or in the one that precedes or succeeds it there? */
  isInSlot(key: string, slot: string): boolean {
    return this.#inSlot(key, slot, undefined) !== undefined
  }

  /** The key's placement in the other worker of the same slot, while one follows the other. */
  besideIn(key: string, workerId: string): Placement | undefined {
    return this.#inSlot(key, slotOf(workerId), workerId)
  }

  ofKey(key: string): Iterable<Placement> {
    return this.#byKey.get(key)?.values() ?? []
  }

  /** Least recently used first: the order in which to close when mappings run out. */
  ofWorker(workerId: string): Iterable<Placement> {
    return this.#byWorker.get(workerId)?.values() ?? []
  }

  /** What everything open in a worker was measured, or is expected, to take. */
  costOf(workerId: string): { privateBytes: number; mappings: number } {
    const sum = { privateBytes: 0, mappings: 0 }
    for (const { privateBytes, mappings } of this.ofWorker(workerId)) {
      sum.privateBytes += privateBytes
      sum.mappings += mappings
    }
    return sum
  }

  countOf(key: string): number {
    return this.#byKey.get(key)?.size ?? 0
  }

  /** Charges and lists a placement as `opening`. The key must be resident in the ledger. */
  begin(request: PlacementRequest): Placement | PlacementShortfall {
    const { key, workerId, isPacked, privateBytes, mappings, deviceBytes = 0 } = request
    if (this.find(key, workerId) !== undefined) throw new Error(`${key} has a placement in worker ${workerId} already`)
    const missingMappings = mappings - this.#mappings.freeOf(workerId)
    if (missingMappings > 0) return { lacks: 'mappings', missing: missingMappings }
    const missingOnDevice = this.#device?.missingFor(deviceBytes) ?? 0
    if (missingOnDevice > 0) return { lacks: 'device', missing: missingOnDevice }
    const id = this.#lastId + 1
    const missing = this.#ledger.addPlacement(key, id, privateBytes)
    if (missing > 0) return { lacks: 'bytes', missing }
    this.#lastId = id
    this.#mappings.add(workerId, mappings)
    this.#device?.charge(id, deviceBytes)
    const since = this.#clock.now()
    const status: PlacementStatus = { s: 'opening' }
    const placement = { id, key, workerId, isPacked, privateBytes, mappings, runsSinceOpen: 0, status, since }
    this.#byId.set(id, placement)
    put(this.#byKey, key, workerId, placement)
    put(this.#byWorker, workerId, key, placement)
    return placement
  }

  /** The session is open and was measured. Does nothing to one that is closing or gone by now. */
  opened(
    id: number,
    measured: { readonly privateBytes: number; readonly mappings: number; readonly deviceBytes?: number },
  ): void {
    const placement = this.#byId.get(id)
    if (placement?.status.s !== 'opening') return
    this.#ledger.measurePlacement(placement.key, id, measured.privateBytes)
    this.#mappings.add(placement.workerId, measured.mappings - placement.mappings)
    placement.privateBytes = measured.privateBytes
    placement.mappings = measured.mappings
    this.#device?.settle(id, measured.deviceBytes ?? this.#device.bytesOf(id))
    this.#machine.transition(placement, { s: 'open' })
    this.#onBytesChanged()
  }

  /** Notes that a hand-over of `runs` runs was given to the placement; it is the worker's most recently used now. */
  used(placement: Placement, runs: number): void {
    placement.runsSinceOpen += runs
    const ofWorker = this.#byWorker.get(placement.workerId)
    if (ofWorker?.delete(placement.key) === true) ofWorker.set(placement.key, placement)
  }

  /** No work may be given to it from here on; its bytes stay charged. Idempotent. */
  closing(id: number, reason?: string): void {
    const placement = this.#byId.get(id)
    if (placement === undefined || placement.status.s === 'closing') return
    this.#machine.transition(placement, { s: 'closing' }, reason)
  }

  /** The session is closed, could not be opened, or died: gives back what it cost. Idempotent. */
  gone(id: number, reason?: string): void {
    const placement = this.#byId.get(id)
    if (placement === undefined) return
    const { key, workerId, mappings } = placement
    this.#byId.delete(id)
    drop(this.#byKey, key, workerId)
    drop(this.#byWorker, workerId, key)
    this.#ledger.removePlacement(key, id)
    this.#mappings.add(workerId, -mappings)
    this.#device?.free(id)
    this.#machine.transition(placement, { s: 'gone' }, reason)
    this.#onBytesChanged()
  }

  /** A worker took its placements with it. @returns them */
  workerDown(workerId: string, reason: string): readonly Placement[] {
    const lost = [...this.ofWorker(workerId)]
    for (const { id } of lost) this.gone(id, reason)
    return lost
  }

  #inSlot(key: string, slot: string, except: string | undefined): Placement | undefined {
    for (const placement of this.ofKey(key))
      if (slotOf(placement.workerId) === slot && placement.workerId !== except) return placement
    return undefined
  }

  /**
   * Placements of a worker to close for `missing` mappings, least recently used first; undefined when not enough may be closed.
   * `mayClose` keeps those with work away.
   */
  chooseForMappings(
    workerId: string,
    missing: number,
    mayClose: (placement: Placement) => boolean,
  ): readonly Placement[] | undefined {
    return choose(this.ofWorker(workerId), missing, mayClose, ({ mappings }) => mappings)
  }

  /** As `chooseForMappings`, for bytes of the GPU that all workers share. */
  chooseForDevice(missing: number, mayClose: (placement: Placement) => boolean): readonly Placement[] | undefined {
    const all = [...this.#byWorker.values()].flatMap((ofWorker) => [...ofWorker.values()])
    return choose(all, missing, mayClose, ({ id }) => this.#device?.bytesOf(id) ?? 0)
  }
}

/** The first ones that gain so much together; undefined when all that may be closed gain less. */
function choose(
  placements: Iterable<Placement>,
  missing: number,
  mayClose: (placement: Placement) => boolean,
  gainOf: (placement: Placement) => number,
): readonly Placement[] | undefined {
  const chosen: Placement[] = []
  let gained = 0
  for (const placement of placements) {
    if (gained >= missing) break
    if (placement.status.s !== 'open' || !mayClose(placement)) continue
    chosen.push(placement)
    gained += gainOf(placement)
  }
  return gained >= missing ? chosen : undefined
}

function put<V>(index: Map<string, Map<string, V>>, outer: string, inner: string, value: V): void {
  const values = index.get(outer)
  if (values === undefined) index.set(outer, new Map([[inner, value]]))
  else values.set(inner, value)
}

function drop<V>(index: Map<string, Map<string, V>>, outer: string, inner: string): void {
  const values = index.get(outer)
  if (values?.delete(inner) === true && values.size === 0) index.delete(outer)
}
