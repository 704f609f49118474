/** What the scheduler asks about models, answered from what is resident and what was measured. */
import type { Ledger } from '../cache/ledger.ts'
import type { PlacementTable } from '../cache/placement-table.ts'
import type { Estimates } from '../scheduler/estimates.ts'
import type { ModelPace } from '../scheduler/hand-over.ts'
import type { StealQuestion } from '../scheduler/steal.ts'
import { mayDuplicate } from '../scheduler/steal.ts'
import type { Resident } from './residents.ts'
import { batchingOf } from './sessions.ts'

export interface ModelPacesOptions {
  readonly residents: ReadonlyMap<string, Resident>
  readonly placements: PlacementTable
  readonly estimates: Estimates
  readonly ledger: Ledger
}

/** What a stacked run may take beyond a single one, as a share of the memory budget. */
const ACTIVATION_SHARE = 0.05
const UNKNOWN_MAX_ROWS = 1

export class ModelPaces {
  readonly #options: ModelPacesOptions

  constructor(options: ModelPacesOptions) {
    this.#options = options
  }

  paceOf(key: string): ModelPace {
    const { residents, estimates, ledger } = this.#options
    const resident = residents.get(key)
    const batching =
      resident === undefined ? undefined : batchingOf(resident.version.settings.batching, resident.manifest)
    const isBatchSafe = batching?.isBatchSafe ?? false
    const [one = 0, two = 0] = resident?.manifest.probe?.activationBytes ?? []
    return {
      isBatchSafe,
      maxRows: batching?.maxRows ?? UNKNOWN_MAX_ROWS,
      singleMs: estimates.singleMs(key),
      eachMs: estimates.eachMs(key, isBatchSafe),
      activationBytesPerRow: Math.max(0, two - one),
      activationBudgetBytes: ledger.budgetBytes * ACTIVATION_SHARE,
    }
  }

  /** A model that asked for it waits for company: until its oldest request has waited long enough, or there is a full run. */
  canRun(
    key: string,
    queues: { depthOf(key: string): number; itemsOf(key: string): Iterable<{ readonly enqueuedAt: number }> },
    now: number,
  ): boolean {
    const { maxDelayMs = 0, maxRows = 1 } = this.#options.residents.get(key)?.version.settings.batching ?? {}
    if (maxDelayMs === 0 || queues.depthOf(key) >= maxRows) return true
    for (const { enqueuedAt } of queues.itemsOf(key)) return now - enqueuedAt >= maxDelayMs
    return true
  }

  stealCost(key: string, workerId: string): Omit<StealQuestion, 'homeWaitMs'> {
    const { placements, estimates } = this.#options
    return {
      openMs: estimates.openMs(key),
      hasPlacementHere: placements.find(key, workerId) !== undefined,
      ...this.#form(key),
    }
  }

  /** A model too large to be held twice stays where it is open. */
  fixedHome(key: string): string | undefined {
    if (mayDuplicate(this.#form(key))) return undefined
    for (const { workerId } of this.#options.placements.ofKey(key)) return workerId
    return undefined
  }

  /** Has the model run often enough that packing its weights pays? */
  wantsPacked(key: string): boolean {
    const resident = this.#options.residents.get(key)
    const paysAfter = resident?.manifest.probe?.packed.paysAfterRuns
    return resident !== undefined && paysAfter !== null && paysAfter !== undefined && resident.runs >= paysAfter
  }

  #form(key: string): { isMapped: boolean; privateBytes: number } {
    const manifest = this.#options.residents.get(key)?.manifest
    return {
      // An artifact without tensor files maps nothing, whatever its form says: all of it is private.
      isMapped: manifest === undefined || manifest.blobs.length > 0,
      privateBytes: manifest?.probe?.privateBytes ?? manifest?.privateBytes ?? 0,
    }
  }
}
