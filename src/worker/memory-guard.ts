/**
 * Kills the worker that takes more private memory than workers may, before the system's own killer chooses among everything on
 * the machine. By polling, not by rlimit: weights are mapped private and writable, and count in full there without costing anything.
 */
import { processMemoryNow } from '../child/memory.ts'
import type { Clock, Timer } from '../lib/clock.ts'
import type { KillReason } from './worker-process.ts'

/** A worker as the guard sees it. */
export interface GuardedWorker {
  readonly id: string
  /** 0 when there is no process. */
  readonly pid: number
  readonly isBusy: boolean
  kill(reason: KillReason, privateBytes: number): void
}

export interface MemoryLimits {
  /** Of one worker. */
  readonly eachBytes: number
  /** Of all workers. */
  readonly togetherBytes: number
}

export interface MemoryGuardOptions {
  readonly clock: Clock
  readonly limits: MemoryLimits
  readonly workers: () => readonly GuardedWorker[]
  /** What is open in a worker should take. */
  readonly chargedBytes: (workerId: string) => number
  /** The worker is killed for this much. */
  readonly onOver: (workerId: string, privateBytes: number) => void
  /** Private memory now; undefined when the process is gone. Must answer at once. */
  readonly read?: (pid: number) => number | undefined
}

export interface MemoryUse {
  readonly id: string
  readonly privateBytes: number
  readonly chargedBytes: number
}

/** One thread can touch some 200 MB of new memory between two looks. */
const LOOK_MS = 100

export class MemoryGuard {
  readonly #options: MemoryGuardOptions
  readonly #timer: Timer

  constructor(options: MemoryGuardOptions) {
    this.#options = options
    this.#timer = options.clock.every(LOOK_MS, () => this.#look())
  }

  close(): void {
    this.#timer.cancel()
  }

  /** Memory grows only in workers that are at something: an idle pool costs nothing. */
  #look(): void {
    const { workers, limits, chargedBytes, onOver, read = privateBytesNow } = this.#options
    const all = workers().filter(({ pid }) => pid !== 0)
    if (!all.some(({ isBusy }) => isBusy)) return
    const uses = all.map(({ id, pid }) => ({ id, privateBytes: read(pid) ?? 0, chargedBytes: chargedBytes(id) }))
    const over = chooseOver(uses, limits)
    if (over === undefined) return
    onOver(over.id, over.privateBytes)
    all.find(({ id }) => id === over.id)?.kill('memory-cap', over.privateBytes)
  }
}

/**
 * The worker to kill: one that is over its own limit, or, when all together are over theirs, the one that takes most beyond what
 * is open in it should.
 */
export function chooseOver(
  uses: readonly MemoryUse[],
  { eachBytes, togetherBytes }: MemoryLimits,
): MemoryUse | undefined {
  const together = uses.reduce((sum, { privateBytes }) => sum + privateBytes, 0)
  const suspects = together > togetherBytes ? uses : uses.filter(({ privateBytes }) => privateBytes > eachBytes)
  const excess = ({ privateBytes, chargedBytes }: MemoryUse) => privateBytes - chargedBytes
  return suspects.reduce<MemoryUse | undefined>(
    (worst, use) => (worst === undefined || excess(use) > excess(worst) ? use : worst),
    undefined,
  )
}

function privateBytesNow(pid: number): number | undefined {
  return processMemoryNow(pid)?.privateBytes
}
