/**
 * What open sessions hold of a GPU's memory, against a budget of its own. The host's memory is promised to entries before they load; a
 * GPU's is charged to placements, because a model whose session was closed for want of room there is still at hand in the host's
 * memory, and opens again in milliseconds. Bytes are measured where the driver tells and estimated where none does.
 */
import { LRUCache } from 'lru-cache'
import type { Manifest } from '../domain/artifact.ts'

export interface DeviceSnapshot {
  /** Of sessions that are open, or being closed: until the close has completed the GPU holds them. */
  readonly open: number
  /** Promised to sessions that are being opened. */
  readonly opening: number
}

interface Charge {
  bytes: number
  isOpen: boolean
}

const MAX_KNOWN = 20_000
/** Beside its weights a session needs room for what flows through it: a quarter of them, and something for the smallest. */
const ACTIVATION_SHARE = 0.25
const MIN_ACTIVATION_BYTES = 4 * 2 ** 20
/** What a session is taken to need more of when it ran out and nobody said by how much. */
const RAISE_SHARE = 0.25

export class DeviceLedger {
  readonly budgetBytes: number
  readonly #charges = new Map<number, Charge>()
  readonly #known = new LRUCache<string, number>({ max: MAX_KNOWN })
  #usedBytes = 0

  constructor(budgetBytes: number) {
    if (!(budgetBytes > 0)) throw new RangeError(`a device ledger needs a budget, not ${budgetBytes}`)
    this.budgetBytes = budgetBytes
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** What is held beyond the budget, as measured charges may be; 0 = nothing. */
  get excessBytes(): number {
    return Math.max(0, this.#usedBytes - this.budgetBytes)
  }

  /** What a session of the artifact is expected to need: as measured, else its weights and room for activations. */
  expectedBytes({ artifact, graph, blobs }: Pick<Manifest, 'artifact' | 'graph' | 'blobs'>): number {
    return this.#known.get(artifact) ?? withActivations(blobs.reduce((sum, { bytes }) => sum + bytes, graph.bytes))
  }

  /** Was a session of it measured, or did one run out of memory? */
  isKnown(artifact: string): boolean {
    return this.#known.has(artifact)
  }

  /** `weightBytes` as the driver saw them grow at open; activations are added, since they come with the first runs. */
  learn(artifact: string, weightBytes: number): void {
    this.#known.set(artifact, withActivations(weightBytes))
  }

  /**
   * It ran out of memory, by so many bytes if that is known: from now on it is taken to need them too. At most twice what it needed,
   * and never more than there is: a single absurd request must not make it a model that fits nowhere. @returns what it needs now
   */
  raise(manifest: Pick<Manifest, 'artifact' | 'graph' | 'blobs'>, missing: number | undefined): number {
    const before = this.expectedBytes(manifest)
    const raised = Math.min(this.budgetBytes, before + Math.ceil(Math.min(missing ?? before * RAISE_SHARE, before)))
    this.#known.set(manifest.artifact, raised)
    return raised
  }

  /** Bytes that are missing for `bytes` more; 0 = they fit. */
  missingFor(bytes: number): number {
    return Math.max(0, this.#usedBytes + bytes - this.budgetBytes)
  }

  /** Promises a session that is about to open its bytes. */
  charge(placementId: number, bytes: number): void {
    if (this.#charges.has(placementId)) throw new Error(`placement ${placementId} is charged already`)
    this.#charges.set(placementId, { bytes, isOpen: false })
    this.#usedBytes += bytes
  }

  /** The session is open, and needs so much. */
  settle(placementId: number, bytes: number): void {
    const charge = this.#charges.get(placementId)
    if (charge === undefined) throw new Error(`placement ${placementId} is not charged`)
    this.#usedBytes += bytes - charge.bytes
    charge.bytes = bytes
    charge.isOpen = true
  }

  bytesOf(placementId: number): number {
    return this.#charges.get(placementId)?.bytes ?? 0
  }

  /** Closed, or gone with its worker. Idempotent. */
  free(placementId: number): void {
    this.#usedBytes -= this.bytesOf(placementId)
    this.#charges.delete(placementId)
  }

  snapshot(): DeviceSnapshot {
    const sums = { open: 0, opening: 0 }
    for (const { bytes, isOpen } of this.#charges.values()) sums[isOpen ? 'open' : 'opening'] += bytes
    return sums
  }
}

function withActivations(weightBytes: number): number {
  return Math.ceil(weightBytes + Math.max(MIN_ACTIVATION_BYTES, weightBytes * ACTIVATION_SHARE))
}
