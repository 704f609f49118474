/**
 * How far a worker's process has grown beyond what is known to be in it: memory and mappings that sessions left behind when they
 * were closed, for which a fresh process is the only cure.
 */

/** A worker's process as measured, and as the books have it. */
export interface WorkerBooks {
  readonly privateBytes: number
  /** When it had done nothing yet. */
  readonly startBytes: number
  /** Of all that is open in it. */
  readonly chargedBytes: number
  /** The most that a run of one of those takes for a moment. */
  readonly activationBytes: number
  /** Undefined when they were not counted this time. */
  readonly mappings: number | undefined
  readonly chargedMappings: number
}

export interface DriftLimits {
  /** 0 = memory is never a reason. */
  readonly bytes: number
  readonly mappings: number
}

export type DriftReason = 'memory' | 'mappings'

export function driftBytes({ privateBytes, startBytes, chargedBytes, activationBytes }: WorkerBooks): number {
  return Math.max(0, privateBytes - startBytes - chargedBytes - activationBytes)
}

/** Why the worker should be replaced, as far as this one look tells. */
export function driftReason(books: WorkerBooks, limits: DriftLimits): DriftReason | undefined {
  if (limits.bytes > 0 && driftBytes(books) > limits.bytes) return 'memory'
  return (books.mappings ?? 0) - books.chargedMappings > limits.mappings ? 'mappings' : undefined
}

/** A look may fall into a run or just before a garbage collection: only what stays is drift. */
const LOOKS = 3

/** Remembers how often in a row each worker was found to have drifted. */
export class DriftMemory {
  readonly #looks = new Map<string, number>()

  /** @returns true when it was found so three times in a row */
  note(workerId: string, hasDrifted: boolean): boolean {
    const looks = hasDrifted ? (this.#looks.get(workerId) ?? 0) + 1 : 0
    if (looks === 0) this.#looks.delete(workerId)
    else this.#looks.set(workerId, looks)
    return looks >= LOOKS
  }

  forget(workerId: string): void {
    this.#looks.delete(workerId)
  }
}
