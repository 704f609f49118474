/** What the scheduler asks about models, answered from what is resident and what was measured. */
import type { Ledger } from '../cache/ledger.ts'
import type { PlacementTable } from '../cache/placement-table.ts'
import { slotOf } from '../domain/worker-slot.ts'
import type { Clock } from '../lib/clock.ts'
import type { Estimates } from '../scheduler/estimates.ts'
import type { ModelPace } from '../scheduler/hand-over.ts'
import type { StealQuestion } from '../scheduler/steal.ts'
import { mayDuplicate } from '../scheduler/steal.ts'
import type { Resident } from './residents.ts'
import { batchingOf, formOf } from './residents.ts'

export interface ModelPacesOptions {
  readonly clock: Clock
  readonly residents: ReadonlyMap<string, Resident>
  readonly placements: PlacementTable
  readonly estimates: Estimates
  readonly ledger: Ledger
}

/** What a stacked run may take beyond a single one, as a share of the memory budget. */
const ACTIVATION_SHARE = 0.05
const UNKNOWN = { batching: { isBatchSafe: false, maxRows: 1 }, form: { isMapped: true, privateBytes: 0 } }
/** After there was no room for a model in a second worker. */
const STAY_HOME_MS = 1000

export class ModelPaces {
  readonly #options: ModelPacesOptions

  constructor(options: ModelPacesOptions) {
    this.#options = options
  }

  paceOf(key: string): ModelPace {
    const { residents, estimates, ledger } = this.#options
    const resident = residents.get(key)
    const { isBatchSafe, maxRows } = resident === undefined ? UNKNOWN.batching : batchingOf(resident)
    const [one = 0, two = 0] = resident?.manifest.probe?.activationBytes ?? []
    return {
      isBatchSafe,
      maxRows,
      singleMs: estimates.singleMs(key),
      eachMs: estimates.eachMs(key, isBatchSafe),
      activationBytesPerRow: Math.max(0, two - one),
      activationBudgetBytes: ledger.budgetBytes * ACTIVATION_SHARE,
    }
  }

  stealCost(key: string, slot: string): Omit<StealQuestion, 'homeWaitMs'> {
    const { placements, estimates } = this.#options
    return {
      openMs: this.#staysHome(key) ? Number.POSITIVE_INFINITY : estimates.openMs(key),
      hasPlacementHere: placements.isInSlot(key, slot),
      ...this.#form(key),
    }
  }

  /** There was no room for the model in one more worker: for a while its requests go to where it is open, and to no other. */
  keepHome(key: string): void {
    const resident = this.#options.residents.get(key)
    if (resident !== undefined) resident.homeUntil = this.#options.clock.now() + STAY_HOME_MS
  }

  /** A model too large to be held twice, or without room for that lately, stays where it is open. */
  fixedHome(key: string): string | undefined {
    if (mayDuplicate(this.#form(key)) && !this.#staysHome(key)) return undefined
    let home: string | undefined
    for (const { workerId, status } of this.#options.placements.ofKey(key)) {
      if (status.s !== 'closing') return slotOf(workerId)
      home ??= slotOf(workerId)
    }
    return home
  }

  #staysHome(key: string): boolean {
    const { clock, residents } = this.#options
    return clock.now() < (residents.get(key)?.homeUntil ?? 0)
  }

  #form(key: string): { isMapped: boolean; privateBytes: number } {
    const resident = this.#options.residents.get(key)
    return resident === undefined ? UNKNOWN.form : formOf(resident.manifest)
  }
}
