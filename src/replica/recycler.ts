/**
 * Replaces a worker's process by a fresh one without anyone waiting for it:
 *
 *   successor starts -> opens the hot set -> takes the slot, in one step -> predecessor ends what it was given -> is gone
 *
 * Until the step the predecessor gets all work, after it the successor; homes stay, as they are the slot's. Both processes' sessions
 * are charged while both live: where there is no room fewer are opened ahead. One worker at a time.
 */
import type { EntryTable } from '../cache/entry-table.ts'
import type { PlacementTable } from '../cache/placement-table.ts'
import { GatewayError } from '../domain/errors.ts'
import type { Clock, Timer } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import type { Dispatcher } from './dispatcher.ts'
import { chooseHotSet } from './hot-set.ts'
import type { SessionWorker } from './session-worker.ts'
import type { Sessions } from './sessions.ts'
import type { DriftLimits, DriftReason, WorkerBooks } from './worker-drift.ts'
import { DriftMemory, driftBytes, driftReason } from './worker-drift.ts'

/** The pool as the recycler needs it. */
export interface SuccessionPool<W extends SessionWorker> {
  /** The one of each slot. */
  readonly workers: readonly W[]
  /** @throws Error when no process comes up */
  succeed(slot: string): Promise<W>
  /** @returns the predecessor. @throws Error when the successor died meanwhile */
  promote(successor: W): W
  /** Resolves when the process is gone. */
  retire(worker: W, graceMs: number): Promise<void>
}

export interface RecyclerOptions<W extends SessionWorker> {
  readonly clock: Clock
  readonly pool: SuccessionPool<W>
  readonly table: EntryTable
  readonly placements: PlacementTable
  readonly sessions: Sessions
  readonly dispatcher: Pick<Dispatcher, 'succeed'>
  /** May this one have its slot? Not when the slot came to serve another trust domain while this one got ready. */
  readonly maySucceed: (successor: W) => boolean
  /** Makes the successor known to whoever closes sessions. */
  readonly successorUp: (worker: W) => void
  /** What its process is at goes on behind everybody else. */
  readonly runLast: (worker: W) => void
  /** What is open in a successor that died, or was given up, is gone. */
  readonly successorDown: (workerId: string) => void
  /** Measures a worker; undefined when its process is gone. `isThorough`: mappings too, which takes milliseconds. */
  readonly measure: (worker: W, isThorough: boolean) => Promise<WorkerBooks | undefined>
  readonly limits: DriftLimits
  /** Between two workers replaced for their drift. */
  readonly pauseMs: number
  /** Models that a successor opens ahead, at most. */
  readonly hotModels: number
  /** Time that one open in a successor may take before it is killed. */
  readonly openLimitMs: number
  /** Time a predecessor has to end after it gave its last answer. */
  readonly stopGraceMs: number
  readonly onRecycled: (recycled: Recycled) => void
  readonly onFailed: (slot: string, reason: string, error: unknown) => void
}

export interface Recycled {
  readonly slot: string
  /** `memory` or `mappings` where it was drift, else what the caller gave. */
  readonly reason: string
  readonly driftBytes: number
  /** Models opened ahead. */
  readonly models: number
  /** From the order until the successor had the slot. */
  readonly ms: number
}

const LOOK_MS = 10_000
/** Counting mappings reads a line for each. */
const THOROUGH_EVERY = 6

export class Recycler<W extends SessionWorker> {
  readonly #options: RecyclerOptions<W>
  readonly #memory = new DriftMemory()
  readonly #drifts = new Map<string, number>()
  readonly #timer: Timer | undefined
  #last: Promise<unknown> = Promise.resolve()
  /** Slots that are being given to another process for being stuck. */
  readonly #relieved = new Set<string>()
  #isBusy = false
  #looks = 0
  #notBefore = Number.NEGATIVE_INFINITY
  #isClosed = false

  constructor(options: RecyclerOptions<W>) {
    this.#options = options
    const { clock, limits } = options
    if (limits.bytes > 0) this.#timer = clock.every(LOOK_MS, () => detach(this.#look()))
  }

  /** Bytes beyond what is known to be in it, by slot, as of the last look. */
  get drifts(): ReadonlyMap<string, number> {
    return this.#drifts
  }

  /**
   * Replaces the process of a slot, after those asked for before. Resolves when the successor has the slot; the predecessor may be
   * at its last answers still. @throws Error when no successor came up: then everything is as before
   */
  recycle(slot: string, reason: string): Promise<Recycled> {
    const { promise, resolve, reject } = Promise.withResolvers<Recycled>()
    const turn = this.#last.then(() => this.#replace(slot, reason, resolve))
    this.#last = turn.catch(reject)
    return promise
  }

  /**
   * Gives the slot of a worker that is stuck to a fresh process, at once: others wait for it, and open what they need themselves. What
   * the predecessor is at goes on, behind everybody else. Resolves when it is gone, or no successor came up; never rejects.
   */
  async relieve(slot: string): Promise<void> {
    if (this.#relieved.has(slot)) return
    this.#relieved.add(slot)
    const replaced = this.#replace(slot, 'stuck', () => this.#relieved.delete(slot))
    await replaced.catch(() => this.#relieved.delete(slot))
  }

  /** Replaces nothing any more; what is under way ends with the pool. Idempotent. */
  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
  }

  async #look(): Promise<void> {
    const { pool, clock, measure, pauseMs } = this.#options
    if (this.#isBusy) return
    this.#isBusy = true
    try {
      const isThorough = this.#looks++ % THOROUGH_EVERY === 0
      for (const worker of pool.workers) {
        const books = worker.isUp ? await measure(worker, isThorough) : undefined
        const reason = this.#noted(worker, books)
        if (reason === undefined || clock.now() < this.#notBefore || this.#isClosed) continue
        this.#notBefore = clock.now() + pauseMs
        await this.recycle(worker.slot, reason).catch(() => {})
        this.#notBefore = clock.now() + pauseMs
      }
    } finally {
      this.#isBusy = false
    }
  }

  #noted({ id, slot }: W, books: WorkerBooks | undefined): DriftReason | undefined {
    if (books === undefined) {
      this.#drifts.delete(slot)
      this.#memory.forget(id)
      return undefined
    }
    this.#drifts.set(slot, driftBytes(books))
    const reason = driftReason(books, this.#options.limits)
    return this.#memory.note(id, reason !== undefined) ? reason : undefined
  }

  /** Resolves when the predecessor is gone. */
  async #replace(slot: string, reason: string, onSwitched: (recycled: Recycled) => void): Promise<void> {
    const { clock, pool, stopGraceMs, successorUp, runLast, onRecycled, onFailed } = this.#options
    const begun = clock.now()
    let switched: { readonly predecessor: W; readonly ended: Promise<void> }
    let models: number
    try {
      if (this.#isClosed) throw new Error('workers are not replaced any more')
      const successor = await pool.succeed(slot)
      successorUp(successor)
      models = this.#relieved.has(slot) ? 0 : await this.#openHotSet(successor)
      switched = await this.#switchTo(successor)
    } catch (error) {
      onFailed(slot, reason, error)
      throw error
    }
    const { predecessor, ended } = switched
    this.#memory.forget(predecessor.id)
    if (this.#relieved.has(slot)) runLast(predecessor)
    const recycled = { slot, reason, driftBytes: this.#drifts.get(slot) ?? 0, models, ms: clock.now() - begun }
    onRecycled(recycled)
    onSwitched(recycled)
    await ended
    await pool.retire(predecessor, stopGraceMs)
  }

  /** One step: nothing comes between the pool's knowing it and the queues' knowing it. */
  async #switchTo(successor: W): Promise<{ predecessor: W; ended: Promise<void> }> {
    const { pool, dispatcher, maySucceed, successorDown } = this.#options
    try {
      if (!maySucceed(successor)) throw new Error(`${successor.slot} serves another trust domain by now`)
      const predecessor = pool.promote(successor)
      return { predecessor, ended: dispatcher.succeed(successor) }
    } catch (error) {
      successorDown(successor.id)
      await pool.retire(successor, 0)
      throw error
    }
  }

  /** @returns how many were opened */
  async #openHotSet(successor: W): Promise<number> {
    const { clock, pool, placements, hotModels } = this.#options
    const predecessor = pool.workers.find(({ slot }) => slot === successor.slot)
    const open = [...placements.ofWorker(predecessor?.id ?? '')].filter(({ status }) => status.s === 'open')
    const hot = chooseHotSet(
      open.map(({ key, runsSinceOpen, since }) => ({ key, runs: runsSinceOpen, openForMs: clock.now() - since })),
      hotModels,
    )
    let opened = 0
    for (const key of hot) {
      if (!(await this.#openAhead(key, successor))) break
      if (placements.find(key, successor.id) !== undefined) opened++
    }
    return opened
  }

  /** @returns false when there is no room for more, or no successor */
  async #openAhead(key: string, successor: W): Promise<boolean> {
    const { clock, table, sessions, openLimitMs } = this.#options
    // Held, or what is being opened could be evicted in between.
    const lease = table.acquire(key)
    if (lease === undefined) return successor.isUp
    const timer = clock.after(openLimitMs, () => successor.kill('hang'))
    try {
      const { opening } = await sessions.open(key, successor, 'free')
      await opening
      return true
    } catch (error) {
      // Whoever asks for it next opens it, or is told why not.
      return successor.isUp && !(error instanceof GatewayError && error.code === 'CAPACITY_EXHAUSTED')
    } finally {
      timer.cancel()
      lease.release()
    }
  }
}
