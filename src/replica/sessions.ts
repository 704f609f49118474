/**
 * Opens and closes sessions in workers: the placements of ready entries. Opening charges memory and mappings first and makes
 * room where either is short; closing gives back only when the worker has confirmed it. A model that turned hot is opened
 * again in its packed form.
 */
import type { EntryTable } from '../cache/entry-table.ts'
import type { Placement } from '../cache/placement.ts'
import type { PlacementTable } from '../cache/placement-table.ts'
import { ChildGoneError } from '../child/calls.ts'
import type { Manifest } from '../domain/artifact.ts'
import { isDeviceOutOfMemory } from '../domain/device-memory.ts'
import { asGatewayError, GatewayError } from '../domain/errors.ts'
import { slotOf } from '../domain/worker-slot.ts'
import { detach } from '../lib/detach.ts'
import { mayDuplicate } from '../scheduler/steal.ts'
import type { OpenReport, OpenSpec } from '../worker/messages.ts'
import { WorkerDied } from './death.ts'
import type { DeviceRoom } from './device-room.ts'
import { batchingOf, formOf, mappingsOf, privateBytesOf, type Resident, wantsPacked } from './residents.ts'
import type { SessionWorker } from './session-worker.ts'

export interface SessionsOptions {
  readonly table: EntryTable
  readonly placements: PlacementTable
  readonly residents: ReadonlyMap<string, Resident>
  /** Whose process may open it; undefined = anybody's. */
  readonly domainOf: (key: string) => string | undefined
  readonly workerOf: (workerId: string) => SessionWorker | undefined
  /** Room on the GPU that sessions are on; absent on the CPU. */
  readonly device?: DeviceRoom | undefined
  /** The file to open, after a check that the artifact's files are the ones its manifest tells of. @throws GatewayError MODEL_LOADING */
  readonly fileOf: (resident: Resident) => Promise<string> | string
  readonly onOpened: (placement: Placement, report: OpenReport) => void
  /** The model cannot be opened, for a reason that lies in its files; called once for each open that failed. */
  readonly onOpenFailed: (key: string, error: GatewayError) => void
  /** The worker died while it opened the model; called once for each such open. */
  readonly onOpenDied: (key: string, died: WorkerDied) => void
}

/** A placement to send runs to, perhaps right behind the open that was sent for it. */
export interface Session {
  readonly placement: Placement
  /** Set while the open is under way; rejects as the worker's `open` does. */
  readonly opening: Promise<OpenReport> | undefined
}

/** How often room is made before an open gives up; each time something else had taken it. */
const MAX_TRIES = 20
/** Runs until packing is tried again when there was no memory for it. */
const PACK_AGAIN_RUNS = 1000

export class Sessions {
  readonly #options: SessionsOptions
  readonly #opening = new Map<number, Promise<OpenReport>>()
  readonly #closing = new Map<number, Promise<void>>()
  readonly #beginning = new Map<string, Promise<Session>>()
  /** Hand-overs under way by placement. */
  readonly #busy = new Map<number, number>()
  /** Called when a placement has become idle. */
  readonly #onIdle = new Set<() => void>()

  constructor(options: SessionsOptions) {
    this.#options = options
  }

  /** The session of a key in a worker if it is open or being opened, in the form it should have by now. */
  find(key: string, workerId: string): Session | undefined {
    const placement = this.#options.placements.find(key, workerId)
    if (placement === undefined || placement.status.s === 'closing' || this.#isToBePacked(placement)) return undefined
    return { placement, opening: this.#opening.get(placement.id) }
  }

  /**
   * Opens a leased key in a worker; resolves as soon as the open is sent. Calls for the same place share one open.
   * @param room `free`: only into room that is there, as nobody has asked for it yet; nothing is closed or evicted for it
   * @throws GatewayError CAPACITY_EXHAUSTED when the model may not be opened here as well; what is wrong with its files
   */
  open(key: string, worker: SessionWorker, room: 'free' | 'made' = 'made'): Promise<Session> {
    const place = `${worker.id} ${key}`
    const current = this.#beginning.get(place)
    if (current !== undefined) return current
    const session = this.#open(key, worker, room).finally(() => this.#beginning.delete(place))
    this.#beginning.set(place, session)
    return session
  }

  /** Counts a hand-over of `runs` expected runs; the function returned ends it. A placement with hand-overs is not closed to make room. */
  use(placement: Placement, runs: number): () => void {
    this.#options.placements.used(placement, runs)
    this.#busy.set(placement.id, (this.#busy.get(placement.id) ?? 0) + 1)
    return () => {
      const count = (this.#busy.get(placement.id) ?? 1) - 1
      if (count > 0) {
        this.#busy.set(placement.id, count)
        return
      }
      this.#busy.delete(placement.id)
      for (const tell of this.#onIdle) tell()
    }
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

  /** Opens and closes under way, hand-overs that use a placement: all 0 when nothing goes on. */
  get pending(): { readonly opens: number; readonly closes: number; readonly uses: number } {
    return {
      opens: this.#beginning.size + this.#opening.size,
      closes: this.#closing.size,
      uses: this.#busy.size,
    }
  }

  async #open(key: string, worker: SessionWorker, room: 'free' | 'made'): Promise<Session> {
    const { placements } = this.#options
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const resident = this.#resident(key)
      const found = placements.find(key, worker.id)
      if (found?.status.s === 'closing') await this.close(found, 'reopened')
      else if (found !== undefined) await this.#closeToPack(found, resident)
      const file = await this.#fileOf(resident)
      const known = this.find(key, worker.id)
      if (known !== undefined) return known
      this.#refuseDuplicate(resident, worker)
      const isPacked = wantsPacked(resident)
      const placement = placements.begin({ key, workerId: worker.id, isPacked, ...this.#costOf(resident, isPacked) })
      if (!('lacks' in placement)) return this.#send(placement, worker, resident, file)
      if (room === 'free') throw noMemory(placement.missing)
      const beside = placement.lacks === 'bytes' ? placements.besideIn(key, worker.id) : undefined
      // The one that is to go, or has only just come, need not hold it as well.
      if (beside !== undefined) await this.close(beside, 'recycled')
      else if (placement.lacks === 'mappings') await this.#makeMappings(worker.id, placement.missing)
      else if (placement.lacks === 'device') await this.#makeDeviceRoom(resident, placement.missing)
      else if (!(await this.#makeBytes(placement.missing))) {
        if (!isPacked) throw noMemory(placement.missing)
        putPackingOff(resident)
      }
    }
    throw new GatewayError('CAPACITY_EXHAUSTED', 'room for the open model was taken by others again and again', {
      retryAfterMs: 1000,
    })
  }

  #send(placement: Placement, worker: SessionWorker, resident: Resident, file: string): Session {
    const domain = this.#options.domainOf(placement.key)
    const { device } = this.#options
    const measuresDevice = device !== undefined && !device.ledger.isKnown(resident.manifest.artifact)
    const opening = worker.open({
      ...openSpec(placement, resident, file, domain),
      ...(measuresDevice && { measuresDevice }),
    })
    this.#opening.set(placement.id, opening)
    detach(this.#awaitOpen(placement, opening, resident))
    return { placement, opening }
  }

  async #awaitOpen(placement: Placement, opening: Promise<OpenReport>, { manifest }: Resident): Promise<void> {
    const { placements, device, onOpened, onOpenFailed, onOpenDied } = this.#options
    let report: OpenReport
    try {
      report = await opening
    } catch (error) {
      placements.gone(placement.id, 'open failed')
      if (device !== undefined && isDeviceOutOfMemory(error)) this.#makeRoomAfter(device, placement, manifest, error)
      else if (error instanceof WorkerDied) onOpenDied(placement.key, error)
      else if (!(error instanceof ChildGoneError)) onOpenFailed(placement.key, asGatewayError(error))
      return
    } finally {
      this.#opening.delete(placement.id)
    }
    // Growth measured in a worker that reuses freed memory may be nothing: the estimate is then the better figure.
    const privateBytes = Math.max(report.privateBytes, placement.privateBytes)
    if (report.deviceBytes !== undefined) device?.ledger.learn(manifest.artifact, report.deviceBytes)
    const deviceBytes = device?.ledger.expectedBytes(manifest) ?? 0
    placements.opened(placement.id, { privateBytes, mappings: placement.mappings, deviceBytes })
    onOpened(placement, report)
  }

  #resident(key: string): Resident {
    const resident = this.#options.residents.get(key)
    if (resident === undefined) throw new GatewayError('INTERNAL', `${key} is to be opened but not resident`)
    return resident
  }

  async #fileOf(resident: Resident): Promise<string> {
    try {
      return await this.#options.fileOf(resident)
    } catch (error) {
      this.#options.onOpenFailed(resident.version.key, asGatewayError(error))
      throw error
    }
  }

  /** Asked in the same turn in which the placement begins: the scheduler's view may be older. */
  #refuseDuplicate({ version, manifest }: Resident, { id, slot }: SessionWorker): void {
    if (mayDuplicate(formOf(manifest))) return
    for (const placement of this.#options.placements.ofKey(version.key)) {
      // While a process follows another in its slot both may hold it.
      if (slotOf(placement.workerId) === slot) continue
      throw new GatewayError(
        'CAPACITY_EXHAUSTED',
        `the model is too large to be open in ${id} and ${placement.workerId} at once`,
        { retryAfterMs: 1000 },
      )
    }
  }

  #isToBePacked(placement: Placement): boolean {
    if (placement.isPacked || placement.status.s !== 'open' || this.#busy.has(placement.id)) return false
    const resident = this.#options.residents.get(placement.key)
    return resident !== undefined && wantsPacked(resident)
  }

  /** Closes an idle session whose packed form pays, if there is memory for that. */
  async #closeToPack(placement: Placement, resident: Resident): Promise<void> {
    if (!this.#isToBePacked(placement)) return
    const growth = privateBytesOf(resident.manifest, true) - placement.privateBytes
    if (this.#options.table.makeRoom(Math.max(0, growth))) await this.close(placement, 'packed')
    else putPackingOff(resident)
  }

  async #makeMappings(workerId: string, missing: number): Promise<void> {
    const { placements } = this.#options
    const victims = placements.chooseForMappings(workerId, missing, (one) => !this.#busy.has(one.id))
    const leaving = [...placements.ofWorker(workerId)].filter(({ status }) => status.s === 'closing')
    const toClose = victims ?? leaving
    if (toClose.length === 0) {
      throw new GatewayError(
        'CAPACITY_EXHAUSTED',
        `worker ${workerId} is short of ${missing} memory mappings and all it has are in use`,
        { retryAfterMs: 1000 },
      )
    }
    await Promise.all(toClose.map((one) => this.close(one, 'mappings')))
  }

  /** Closes what is idle on the GPU, or waits for somebody to become so. @throws GatewayError MODEL_TOO_LARGE, CAPACITY_EXHAUSTED */
  async #makeDeviceRoom({ manifest }: Resident, missing: number): Promise<void> {
    const { device } = this.#options
    if (device === undefined) throw new Error('the CPU lacks no device memory')
    const verdict = device.decide(manifest, missing, ({ id }) => this.#busy.has(id))
    if ('refuse' in verdict) throw verdict.refuse
    if ('close' in verdict) await Promise.all(verdict.close.map((one) => this.close(one, 'device')))
    else await this.#someoneLeaves()
  }

  /** Whoever asked tries once more: there should be room then. */
  #makeRoomAfter(device: DeviceRoom, placement: Placement, manifest: Manifest, error: GatewayError): void {
    const victims = device.openFailed(placement.key, manifest, error, ({ id }) => this.#busy.has(id))
    for (const victim of victims) detach(this.close(victim, 'device'))
  }

  /** Resolves when a placement has become idle, or an open or a close under way has ended. */
  async #someoneLeaves(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onIdle.add(resolve)
    try {
      const moving: Promise<unknown>[] = [...this.#opening.values(), ...this.#closing.values()]
      // How it ended is for its owner to see to.
      await Promise.race([promise, ...moving.map((one) => one.catch(() => undefined))])
    } finally {
      this.#onIdle.delete(resolve)
    }
  }

  #costOf(resident: Resident, isPacked: boolean): { privateBytes: number; mappings: number; deviceBytes: number } {
    const { manifest } = resident
    const deviceBytes = this.#options.device?.ledger.expectedBytes(manifest) ?? 0
    return { privateBytes: privateBytesOf(manifest, isPacked), mappings: mappingsOf(manifest), deviceBytes }
  }

  /** Evicts for bytes that are missing and waits for what is leaving. @returns false when nothing can be evicted for them */
  async #makeBytes(missing: number): Promise<boolean> {
    if (!this.#options.table.makeRoom(missing)) return false
    // What was evicted gives its bytes back when it is closed.
    if (this.#closing.size > 0) await Promise.race(this.#closing.values())
    return true
  }
}

function putPackingOff(resident: Resident): void {
  resident.unpackedUntilRuns = resident.runs + PACK_AGAIN_RUNS
}

function openSpec(placement: Placement, resident: Resident, file: string, domain: string | undefined): OpenSpec {
  const { version, manifest } = resident
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
    ...(domain === undefined ? {} : { domain }),
    ...batchingOf(resident),
  }
}

function noMemory(missing: number): GatewayError {
  return new GatewayError(
    'CAPACITY_EXHAUSTED',
    `there is no memory to open the model once more: ${missing} bytes are missing`,
    { retryAfterMs: 1000 },
  )
}
