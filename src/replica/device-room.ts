/**
 * Room on a GPU for the sessions of a replica: who is closed for whom, and what is learnt when the GPU says that its memory ran out.
 * A session that is closed for room leaves its model resident in the host's memory. Decides and accounts; sessions are opened and
 * closed by its owner.
 */
import type { DeviceLedger } from '../cache/device-ledger.ts'
import type { Placement } from '../cache/placement.ts'
import type { PlacementTable } from '../cache/placement-table.ts'
import type { Manifest } from '../domain/artifact.ts'
import { bytesNotHad } from '../domain/device-memory.ts'
import { GatewayError } from '../domain/errors.ts'
import { formatByteSize } from '../lib/byte-size.ts'
import type { Clock } from '../lib/clock.ts'

export interface DeviceRoomOptions {
  readonly clock: Clock
  readonly ledger: DeviceLedger
  readonly placements: PlacementTable
  readonly isPinned: (key: string) => boolean
  /** Sessions of a model were closed to make room on the GPU. */
  readonly onEvicted: (placement: Placement) => void
  /** The GPU's memory ran out, as it said. */
  readonly onOutOfMemory: (key: string, when: 'open' | 'run', error: GatewayError) => void
  /** Runs ran out of memory again and again: the worker holds more than it is charged, and is to be replaced. */
  readonly onExhausted: (workerId: string) => void
}

/** So many runs out of memory within this time, and the worker is replaced. */
const MAX_TROUBLES = 3
const TROUBLES_MS = 60_000

/** What to do when bytes are missing: close these; wait for someone to end or to close; or nothing helps. */
export type DeviceVerdict =
  | { readonly close: readonly Placement[] }
  | { readonly waits: true }
  | { readonly refuse: GatewayError }

export class DeviceRoom {
  readonly #options: DeviceRoomOptions
  /** When runs of each worker ran out of memory, oldest first. */
  readonly #troubles = new Map<string, number[]>()

  constructor(options: DeviceRoomOptions) {
    this.#options = options
  }

  get ledger(): DeviceLedger {
    return this.#options.ledger
  }

  /** `isBusy`: work was handed to it that is not over. */
  decide(manifest: Manifest, missing: number, isBusy: (placement: Placement) => boolean): DeviceVerdict {
    const { ledger, placements, isPinned, onEvicted } = this.#options
    const needed = ledger.expectedBytes(manifest)
    if (needed > ledger.budgetBytes) return { refuse: tooLarge(needed, ledger) }
    const close = placements.chooseForDevice(missing, (one) => !isBusy(one) && !isPinned(one.key))
    if (close !== undefined) {
      for (const placement of close) onEvicted(placement)
      return { close }
    }
    // What is being opened or closed, or is at work, may go in a moment; what is pinned and idle stays.
    const mayWait = placements.chooseForDevice(missing, ({ key }) => !isPinned(key)) !== undefined || this.#isMoving()
    return mayWait ? { waits: true } : { refuse: exhausted(needed, ledger) }
  }

  /** An open was refused by the GPU itself. @returns what to close at least, so that the next try finds more room */
  openFailed(
    key: string,
    manifest: Manifest,
    error: GatewayError,
    isBusy: (placement: Placement) => boolean,
  ): readonly Placement[] {
    const { ledger, placements, isPinned, onEvicted, onOutOfMemory } = this.#options
    onOutOfMemory(key, 'open', error)
    const missing = bytesNotHad(error)
    ledger.raise(manifest, missing)
    const mayClose = (one: Placement) => !isBusy(one) && !isPinned(one.key)
    // The least that may help: as much as was not to be had, else one session.
    const close = placements.chooseForDevice(missing ?? 1, mayClose) ?? placements.chooseForDevice(1, mayClose) ?? []
    for (const placement of close) onEvicted(placement)
    return close
  }

  /** A run was refused by the GPU: the session stays, and is taken to need more. */
  runFailed(placement: Placement, manifest: Manifest, error: GatewayError): void {
    const { clock, ledger, onOutOfMemory, onExhausted } = this.#options
    const { key, workerId, id } = placement
    onOutOfMemory(key, 'run', error)
    const needed = ledger.raise(manifest, bytesNotHad(error))
    if (placement.status.s === 'open') ledger.settle(id, needed)
    const now = clock.now()
    const recent = (this.#troubles.get(workerId) ?? []).filter((at) => now - at < TROUBLES_MS)
    recent.push(now)
    this.#troubles.set(workerId, recent)
    if (recent.length < MAX_TROUBLES) return
    this.#troubles.delete(workerId)
    onExhausted(workerId)
  }

  #isMoving(): boolean {
    return this.#options.placements.some(({ status }) => status.s === 'opening' || status.s === 'closing')
  }
}

function tooLarge(needed: number, { budgetBytes }: DeviceLedger): GatewayError {
  return new GatewayError(
    'MODEL_TOO_LARGE',
    `the model needs ${formatByteSize(needed)} of the GPU, more than the whole budget of ${formatByteSize(budgetBytes)}; raise device.memoryBytes if the GPU has more`,
    { details: { needBytes: needed, budgetBytes } },
  )
}

function exhausted(needed: number, { usedBytes, budgetBytes }: DeviceLedger): GatewayError {
  const size = formatByteSize
  return new GatewayError(
    'CAPACITY_EXHAUSTED',
    `no room on the GPU: the model needs ${size(needed)}, ${size(usedBytes)} of ${size(budgetBytes)} are used, and what holds them is pinned`,
    { retryAfterMs: 1000, details: { needBytes: needed, usedBytes, budgetBytes } },
  )
}
