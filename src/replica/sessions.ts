/**
 * Opens and closes sessions in workers: the placements of ready entries. Opening charges memory and mappings first and makes
 * room where either is short; closing gives back only when the worker has confirmed it.
 */

import type { EntryTable } from '../cache/entry-table.ts'
import type { Placement } from '../cache/placement.ts'
import type { PlacementTable } from '../cache/placement-table.ts'
import { ChildGoneError } from '../child/calls.ts'
import { GatewayError } from '../domain/errors.ts'
import { detach } from '../lib/detach.ts'
import type { OpenReport, OpenSpec } from '../worker/messages.ts'
import type { Worker } from '../worker/worker.ts'
import { mappingsOf, type Resident } from './residents.ts'

export interface SessionsOptions {
  readonly table: EntryTable
  readonly placements: PlacementTable
  readonly residents: ReadonlyMap<string, Resident>
  readonly workerOf: (workerId: string) => Worker | undefined
  /** The file to open, after a check that the artifact's files are the ones its manifest tells of. @throws GatewayError ARTIFACT_CORRUPT */
  readonly fileOf: (resident: Resident) => Promise<string> | string
  readonly onOpened: (placement: Placement, report: OpenReport) => void
}

/** A placement to send runs to, perhaps right behind the open that was sent for it. */
export interface Session {
  readonly placement: Placement
  /** Set while the open is under way; rejects as the worker's `open` does. */
  readonly opening: Promise<OpenReport> | undefined
}

/** How often room is made before an open gives up; each time something else had taken it. */
const MAX_TRIES = 5

export class Sessions {
  readonly #options: SessionsOptions
  readonly #opening = new Map<number, Promise<OpenReport>>()
  readonly #closing = new Map<number, Promise<void>>()
  readonly #beginning = new Map<string, Promise<Session>>()
  /** Hand-overs under way by placement. */
  readonly #busy = new Map<number, number>()

  constructor(options: SessionsOptions) {
    this.#options = options
  }

  /** The session of a key in a worker if it is open or being opened. */
  find(key: string, workerId: string): Session | undefined {
    const placement = this.#options.placements.find(key, workerId)
    if (placement === undefined || placement.status.s === 'closing') return undefined
    return { placement, opening: this.#opening.get(placement.id) }
  }

  /**
   * Opens a leased key in a worker; resolves as soon as the open is sent. Calls for the same place share one open.
   * @throws GatewayError CAPACITY_EXHAUSTED when there is no room for another placement, ARTIFACT_CORRUPT; ChildGoneError
   */
  open(key: string, worker: Worker, isPacked: boolean): Promise<Session> {
    const place = `${worker.id} ${key}`
    const current = this.#beginning.get(place)
    if (current !== undefined) return current
    const session = this.#open(key, worker, isPacked).finally(() => this.#beginning.delete(place))
    this.#beginning.set(place, session)
    return session
  }

  /** Counts a hand-over of `runs` expected runs; the function returned ends it. A placement with hand-overs is not closed for its mappings. */
  use(placement: Placement, runs: number): () => void {
    this.#options.placements.used(placement, runs)
    this.#busy.set(placement.id, (this.#busy.get(placement.id) ?? 0) + 1)
    return () => {
      const count = (this.#busy.get(placement.id) ?? 1) - 1
      if (count === 0) this.#busy.delete(placement.id)
      else this.#busy.set(placement.id, count)
    }
  }

  isBusy(placement: Placement): boolean {
    return this.#busy.has(placement.id)
  }

  /** Resolves when the worker has given the session's memory back, or is gone. Idempotent. */
  close(placement: Placement, reason: string): Promise<void> {
    const current = this.#closing.get(placement.id)
    if (current !== undefined) return current
    const { placements, workerOf } = this.#options
    placements.closing(placement.id, reason)
    const closed = (workerOf(placement.workerId)?.close(placement.id) ?? Promise.resolve())
      // A worker that is gone took its sessions with it.
      .catch(() => undefined)
      .finally(() => {
        this.#closing.delete(placement.id)
        placements.gone(placement.id, reason)
      })
    this.#closing.set(placement.id, closed)
    return closed
  }

  async closeAll(key: string, reason: string): Promise<void> {
    const all = [...this.#options.placements.ofKey(key)]
    await Promise.all(all.map((placement) => this.close(placement, reason)))
  }

  async #open(key: string, worker: Worker, isPacked: boolean): Promise<Session> {
    const { residents, placements, fileOf } = this.#options
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const resident = residents.get(key)
      if (resident === undefined) throw new GatewayError('INTERNAL', `${key} is to be opened but not resident`)
      const found = placements.find(key, worker.id)
      if (found?.status.s === 'closing') await this.close(found, 'reopened')
      const file = await fileOf(resident)
      const known = this.find(key, worker.id)
      if (known !== undefined) return known
      const placement = placements.begin({ key, workerId: worker.id, isPacked, ...costOf(resident, isPacked) })
      if (!('lacks' in placement)) return this.#send(placement, worker, resident, file)
      if (placement.lacks === 'mappings') await this.#makeMappings(worker.id, placement.missing)
      else await this.#makeBytes(key, placement.missing)
    }
    throw new GatewayError('CAPACITY_EXHAUSTED', 'room for the open model was taken by others again and again', {
      retryAfterMs: 1000,
    })
  }

  #send(placement: Placement, worker: Worker, resident: Resident, file: string): Session {
    const opening = worker.open(openSpec(placement, resident, file))
    this.#opening.set(placement.id, opening)
    detach(this.#awaitOpen(placement, opening))
    return { placement, opening }
  }

  async #awaitOpen(placement: Placement, opening: Promise<OpenReport>): Promise<void> {
    const { placements, onOpened } = this.#options
    let report: OpenReport
    try {
      report = await opening
    } catch {
      // Whoever sent work behind the open learns why; here only the cost is given back.
      placements.gone(placement.id, 'open failed')
      return
    } finally {
      this.#opening.delete(placement.id)
    }
    // Growth measured in a worker that reuses freed memory may be nothing: the estimate is then the better figure.
    const privateBytes = Math.max(report.privateBytes, placement.privateBytes)
    placements.opened(placement.id, { privateBytes, mappings: placement.mappings })
    onOpened(placement, report)
  }

  async #makeMappings(workerId: string, missing: number): Promise<void> {
    const victims = this.#options.placements.chooseForMappings(workerId, missing, (one) => !this.isBusy(one))
    if (victims === undefined) {
      throw new GatewayError(
        'CAPACITY_EXHAUSTED',
        `worker ${workerId} is short of ${missing} memory mappings and all it has are in use`,
        { retryAfterMs: 1000 },
      )
    }
    await Promise.all(victims.map((victim) => this.close(victim, 'mappings')))
  }

  async #makeBytes(key: string, missing: number): Promise<void> {
    const { table, placements } = this.#options
    if (!table.makeRoom(missing)) {
      throw new GatewayError(
        'CAPACITY_EXHAUSTED',
        `there is no memory to open the model once more: ${missing} bytes are missing`,
        { retryAfterMs: 1000 },
      )
    }
    // What was evicted gives its bytes back when it is closed.
    const leaving = [...this.#closing.entries()].filter(([id]) => placements.get(id)?.key !== key)
    await Promise.all(leaving.map(([, closed]) => closed))
  }
}

/** Did the worker's process end under this call? */
export function isWorkerGone(error: unknown): boolean {
  return error instanceof ChildGoneError
}

function costOf({ manifest }: Resident, isPacked: boolean): { privateBytes: number; mappings: number } {
  const packed = isPacked ? manifest.probe?.packed.privateBytes : undefined
  return {
    privateBytes: packed ?? manifest.probe?.privateBytes ?? manifest.privateBytes,
    mappings: mappingsOf(manifest),
  }
}

function openSpec(placement: Placement, { version, manifest }: Resident, file: string): OpenSpec {
  return {
    placementId: placement.id,
    file,
    form: manifest.form,
    isPacked: placement.isPacked,
    intraOpThreads: version.settings.intraOpThreads,
    model: version.name,
    version: version.version,
    warmUp: version.settings.warmUp,
    mappings: placement.mappings,
    ...batchingOf(version.settings.batching, manifest),
  }
}

/** May requests be stacked: only if the owner allows it and the probe found it safe. */
export function batchingOf(
  { mode, maxRows }: Resident['version']['settings']['batching'],
  { probe }: Resident['manifest'],
): { isBatchSafe: boolean; maxRows: number } {
  return { isBatchSafe: mode === 'auto' && probe?.isBatchSafe === true, maxRows }
}
