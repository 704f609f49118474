/**
 * What everything resident costs against one memory budget: private bytes per placement, blob bytes once per replica,
 * activation peak per entry. Promises are charged before the slow work, closed sessions until their close has completed.
 *
 *   request -> awaiting --grant--> reserved --settle--> resident --leave--> leaving --free--> (nothing)
 *              '------------------------------free, from any phase-----------------------------^
 *
 * Two sums: `usedBytes` is what memory holds or is promised now (all but awaiting); `committedBytes` is what it will hold
 * once everything leaving has left and everything awaiting has come (all but leaving). Both stay within the budget; only
 * a measurement above its estimate can break that, and the owner then evicts.
 */
import type { BlobRef } from '../domain/artifact.ts'
import { formatByteSize } from '../lib/byte-size.ts'
import type { HoldPhase } from './blob-counts.ts'
import { BlobCounts } from './blob-counts.ts'
import type { GainCounter } from './eviction-policy.ts'

/** What a ModelKey needs to be resident; `blobs` names each digest once. */
export interface Demand {
  /** Of one placement. */
  readonly privateBytes: number
  /** Extra bytes while a run is under way. */
  readonly activationBytes: number
  readonly blobs: readonly BlobRef[]
}

export interface LedgerSnapshot {
  readonly private: number
  readonly blobs: number
  readonly activations: number
  /** Promised to loads that are under way. */
  readonly reserved: number
  /** Evicted, close not completed. */
  readonly leaving: number
  /** Promised to loads that wait for `leaving`; no part of `usedBytes`. */
  readonly awaited: number
}

interface Charge {
  demand: Demand
  phase: HoldPhase
  readonly placements: Map<number, number>
  /** Promised for the first placement while none is open, so that it can always be opened again. */
  firstBytes: number
  privateBytes: number
}

export class Ledger {
  readonly budgetBytes: number
  readonly #charges = new Map<string, Charge>()
  readonly #blobs = new BlobCounts()
  readonly #private: Record<HoldPhase, number> = { resident: 0, reserved: 0, leaving: 0, awaiting: 0 }
  readonly #activation: Record<HoldPhase, number> = { resident: 0, reserved: 0, leaving: 0, awaiting: 0 }

  constructor(budgetBytes: number) {
    this.budgetBytes = budgetBytes
  }

  get usedBytes(): number {
    const { resident, reserved, leaving } = this.#private
    const activations = this.#activation.resident + this.#activation.reserved + this.#activation.leaving
    const blobs = this.#blobs.bytesIn('resident') + this.#blobs.bytesIn('reserved') + this.#blobs.bytesIn('leaving')
    return resident + reserved + leaving + activations + blobs
  }

  get committedBytes(): number {
    const { resident, reserved, awaiting } = this.#private
    const activations = this.#activation.resident + this.#activation.reserved + this.#activation.awaiting
    return resident + reserved + awaiting + activations + this.#blobs.stayingBytes
  }

  /** What must be evicted, beyond what is leaving already; 0 = nothing. */
  get excessBytes(): number {
    return Math.max(0, this.committedBytes - this.budgetBytes)
  }

  /** Bytes of a demand that is alone on the machine. */
  static wholeBytes(demand: Demand): number {
    return demand.blobs.reduce((sum, blob) => sum + blob.bytes, demand.privateBytes + demand.activationBytes)
  }

  phaseOf(key: string): HoldPhase | undefined {
    return this.#charges.get(key)?.phase
  }

  /** Keys charged in any phase. */
  keys(): Iterable<string> {
    return this.#charges.keys()
  }

  /** Lists a demand as awaiting. Replaces an earlier promise to `key`. @returns `excessBytes` */
  request(key: string, demand: Demand): number {
    const old = this.#charges.get(key)
    if (old !== undefined && old.phase !== 'awaiting' && old.phase !== 'reserved') {
      throw new Error(`${key} is ${old.phase} and cannot be requested again`)
    }
    this.free(key)
    this.#enter(key, {
      demand,
      phase: 'awaiting',
      placements: new Map(),
      firstBytes: demand.privateBytes,
      privateBytes: demand.privateBytes,
    })
    return this.excessBytes
  }

  /** Turns an awaiting demand into a reservation if it fits now. */
  grant(key: string): boolean {
    const charge = this.#charge(key, 'awaiting')
    const { demand } = charge
    const cost = demand.privateBytes + demand.activationBytes + this.#blobs.absentBytes(demand.blobs)
    if (this.usedBytes + cost > this.budgetBytes) return false
    this.#shift(charge, 'reserved')
    return true
  }

  /** Replaces a reservation by what the loaded model was measured to need, which may be more. */
  settle(key: string, measured: Demand): void {
    this.#charge(key, 'reserved')
    this.free(key)
    this.#enter(key, {
      demand: measured,
      phase: 'resident',
      placements: new Map(),
      firstBytes: measured.privateBytes,
      privateBytes: measured.privateBytes,
    })
  }

  /** More is known of what a resident key needs; open placements keep what they were measured at. Does nothing to others. */
  remeasure(key: string, measured: Demand): void {
    const charge = this.#charges.get(key)
    if (charge?.phase !== 'resident') return
    this.#count(charge, -1)
    charge.demand = measured
    if (charge.placements.size === 0) charge.firstBytes = measured.privateBytes
    charge.privateBytes = privateBytesOf(charge)
    this.#count(charge, 1)
  }

  /**
   * Charges a placement that is about to open; of what leaves too, for whoever has a lease of it still.
   * @returns 0, or the bytes that are missing, and then nothing was charged
   */
  addPlacement(key: string, placementId: number, privateBytes: number): number {
    const charge = this.#charge(key, this.phaseOf(key) === 'leaving' ? 'leaving' : 'resident')
    const growth = charge.placements.size === 0 ? privateBytes - privateBytesOf(charge) : privateBytes
    const missing = Math.max(this.usedBytes, this.committedBytes) + growth - this.budgetBytes
    if (growth > 0 && missing > 0) return missing
    this.#place(charge, () => charge.placements.set(placementId, privateBytes))
    return 0
  }

  /** Replaces a placement's estimate by the measured bytes. */
  measurePlacement(key: string, placementId: number, privateBytes: number): void {
    const charge = this.#charges.get(key)
    if (charge?.placements.has(placementId) !== true) throw new Error(`${key} has no placement ${placementId}`)
    this.#place(charge, () => charge.placements.set(placementId, privateBytes))
  }

  /** The placement's close has completed, or its worker has died. Never makes the key cost more than before. */
  removePlacement(key: string, placementId: number): void {
    const charge = this.#charges.get(key)
    const bytes = charge?.placements.get(placementId)
    if (charge === undefined || bytes === undefined) throw new Error(`${key} has no placement ${placementId}`)
    this.#place(charge, () => {
      charge.placements.delete(placementId)
      charge.firstBytes = bytes
    })
  }

  placementsOf(key: string): number {
    return this.#charges.get(key)?.placements.size ?? 0
  }

  /** Evicted: counted until `free`, and no longer in anyone's way. */
  leave(key: string): void {
    this.#shift(this.#charge(key, 'resident'), 'leaving')
  }

  /** Gives back everything of `key`, whatever its phase; nothing if it has nothing. */
  free(key: string): void {
    const charge = this.#charges.get(key)
    if (charge === undefined) return
    this.#charges.delete(key)
    this.#count(charge, -1)
  }

  /** Bytes that evicting `key` alone gains. */
  gain(key: string): number {
    const gains = this.gains()
    gains.add(key)
    return gains.bytes
  }

  /** Counts what evicting a set gains: shared blobs only once their last holder is in it. Valid until the ledger changes. */
  gains(): GainCounter {
    const taken = new Map<string, number>()
    let bytes = 0
    const change = (key: string, by: 1 | -1) => {
      const { demand, privateBytes } = this.#charge(key, 'resident')
      bytes += by * (privateBytes + demand.activationBytes)
      for (const { digest, bytes: size } of demand.blobs) {
        const before = taken.get(digest) ?? 0
        taken.set(digest, before + by)
        if (Math.max(before, before + by) === this.#blobs.stayingHolders(digest)) bytes += by * size
      }
    }
    return {
      get bytes() {
        return bytes
      },
      add: (key) => change(key, 1),
      remove: (key) => change(key, -1),
    }
  }

  snapshot(): LedgerSnapshot {
    const whole = (phase: HoldPhase) => this.#private[phase] + this.#activation[phase] + this.#blobs.bytesIn(phase)
    return {
      private: this.#private.resident,
      blobs: this.#blobs.bytesIn('resident'),
      activations: this.#activation.resident,
      reserved: whole('reserved'),
      leaving: whole('leaving'),
      awaited: whole('awaiting'),
    }
  }

  /** The arithmetic of a demand against the budget, for people. */
  explain(demand: Demand): string {
    const size = formatByteSize
    const blobs = demand.blobs.reduce((sum, blob) => sum + blob.bytes, 0)
    const absent = this.#blobs.absentBytes(demand.blobs)
    const { private: privately, blobs: shared, activations, reserved, leaving } = this.snapshot()
    return (
      `it needs ${size(demand.privateBytes + demand.activationBytes + absent)} ` +
      `(private ${size(demand.privateBytes)} + activations ${size(demand.activationBytes)} + tensors ${size(blobs)}, ` +
      `of which ${size(blobs - absent)} are in memory); ${size(this.usedBytes)} of ${size(this.budgetBytes)} are used ` +
      `(private ${size(privately)} + tensors ${size(shared)} + activations ${size(activations)} + ` +
      `reserved ${size(reserved)} + leaving ${size(leaving)})`
    )
  }

  #charge(key: string, phase: HoldPhase): Charge {
    const charge = this.#charges.get(key)
    if (charge?.phase !== phase) throw new Error(`${key} is not ${phase} but ${charge?.phase ?? 'unknown'}`)
    return charge
  }

  #enter(key: string, charge: Charge): void {
    this.#charges.set(key, charge)
    this.#count(charge, 1)
  }

  #shift(charge: Charge, phase: HoldPhase): void {
    this.#count(charge, -1)
    charge.phase = phase
    charge.privateBytes = privateBytesOf(charge)
    this.#count(charge, 1)
  }

  #place(charge: Charge, change: () => void): void {
    change()
    const now = privateBytesOf(charge)
    this.#private[charge.phase] += now - charge.privateBytes
    charge.privateBytes = now
  }

  #count(charge: Charge, sign: 1 | -1): void {
    this.#private[charge.phase] += sign * charge.privateBytes
    this.#activation[charge.phase] += sign * charge.demand.activationBytes
    if (sign === 1) this.#blobs.hold(charge.demand.blobs, charge.phase)
    else this.#blobs.drop(charge.demand.blobs, charge.phase)
  }
}

function privateBytesOf({ phase, placements, firstBytes }: Charge): number {
  // What leaves is not opened again as a rule: only what is still open counts.
  if (placements.size === 0) return phase === 'leaving' ? 0 : firstBytes
  let sum = 0
  for (const bytes of placements.values()) sum += bytes
  return sum
}
