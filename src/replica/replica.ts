/**
 * One device budget with its entries, scheduler and workers. Admits a request, leases its model's entry (loading it first if
 * need be), queues it for a worker, and gives its one outcome. Decides nothing about names: it is told which version to serve.
 */
import type { DeviceLedger } from '../cache/device-ledger.ts'
import type { EntryTable } from '../cache/entry-table.ts'
import type { Lease } from '../cache/lease.ts'
import type { PlacementTable } from '../cache/placement-table.ts'
import { ChildGoneError } from '../child/calls.ts'
import { isDeviceOutOfMemory } from '../domain/device-memory.ts'
import type { ErrorFacts } from '../domain/errors.ts'
import { asGatewayError, GatewayError } from '../domain/errors.ts'
import type { FetchProgress } from '../domain/fetch-progress.ts'
import type {
  InferAnswer,
  InferRequest,
  Inspection,
  ModelState,
  ModelStatistics,
  SpanRef,
} from '../domain/inference.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { Clock } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import type { AdmissionLimits } from '../scheduler/admission.ts'
import { admissionRefusal } from '../scheduler/admission.ts'
import type { DrainRate } from '../scheduler/drain-rate.ts'
import type { Occupancy } from '../scheduler/occupancy.ts'
import { progressText, stillLoading } from './cold-start.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Inspector } from './inspector.ts'
import type { Loads } from './loads.ts'
import type { Quarantine } from './quarantine.ts'
import type { RequestBody } from './request.ts'
import { ReplicaRequest } from './request.ts'
import type { Resident } from './residents.ts'
import type { SessionWorker } from './session-worker.ts'
import type { Sessions } from './sessions.ts'
import type { StatisticsTable } from './statistics.ts'

/** The states of an entry in the words of the protocol; a failed one has its reason beside it. */
const STATE_OF = {
  queued: 'LOADING',
  fetching: 'LOADING',
  compiling: 'LOADING',
  paging: 'LOADING',
  ready: 'READY',
  draining: 'UNLOADING',
  gone: 'UNAVAILABLE',
} as const

export interface ReplicaOptions {
  readonly id: string
  readonly clock: Clock
  readonly table: EntryTable
  readonly placements: PlacementTable
  readonly residents: ReadonlyMap<string, Resident>
  readonly loads: Loads
  readonly inspector: Inspector
  readonly sessions: Sessions
  readonly dispatcher: Dispatcher
  readonly occupancy: Occupancy
  readonly drainRate: DrainRate
  readonly statistics: StatisticsTable
  readonly quarantine: Quarantine
  readonly limits: AdmissionLimits
  /** Deadline of a request that brings none and whose model names none. */
  readonly deadlineMs: number
  /** Of a version whose files are being fetched, by its key. */
  readonly progressOf?: (key: string) => FetchProgress | undefined
  /** A sampled request waits for the load of its model, its own or another's. */
  readonly onWait?: (key: string, span: SpanRef) => void
  /** Of the GPU that sessions are on; absent on the CPU. */
  readonly device?: { readonly index: number; readonly ledger: DeviceLedger } | undefined
}

const LOADING: ReadonlySet<string | undefined> = new Set(['queued', 'fetching', 'compiling', 'paging'])
/** A request may meet an entry that leaves between two waits; more often than this is a bug. */
const MAX_ENTRIES_MET = 100

export class Replica {
  readonly id: string
  readonly #options: ReplicaOptions
  #isDraining = false
  /** Why nothing can be run: the GPU is gone. */
  #lost: GatewayError | undefined

  constructor(options: ReplicaOptions) {
    this.id = options.id
    this.#options = options
  }

  /** @throws GatewayError; the names of model and version are always among its facts */
  async infer(version: ModelVersion, request: InferRequest): Promise<InferAnswer> {
    const { clock, occupancy, drainRate, statistics, deadlineMs } = this.#options
    const { key, tenant, settings } = version
    this.#refuseIfBlamed(version, request)
    this.#admit(version, request.bodyBytes)
    const leave = occupancy.enter(tenant, key, request.bodyBytes)
    const timeoutMs = request.timeoutMs ?? settings.deadlineMs ?? deadlineMs
    const own = new ReplicaRequest(version, request, timeoutMs, request.signal, clock)
    own.onReleased = leave
    let isSuccess = false
    try {
      this.#lease(own, request)
      if (request.span !== undefined && own.cache === 'wait') this.#options.onWait?.(key, request.span)
      const { batchRows, body, jsonBytes } = await own.outcome
      isSuccess = true
      const { cache, timings } = own
      const served = { model: version.name, version: version.version, replica: this.id, cache, timings, batchRows }
      return jsonBytes === undefined ? { served, body } : { served, body, jsonBytes }
    } catch (error) {
      // Before it was queued or waited for a load, the cache had no part in it.
      const isCached = own.cache !== 'hit' || own.timings.queue !== undefined
      throw this.#told(error, version, isCached ? { cache: own.cache } : {})
    } finally {
      // What a worker still has counts until it is done with it: a client cannot make room by leaving.
      if (own.lease === undefined) leave()
      const now = clock.now()
      drainRate.record(1, now)
      statistics.request(key, isSuccess, own.cache === 'hit', now - own.arrivedAt, own.timings.queue ?? 0)
    }
  }

  /** Resolves when the model is resident and, unless workers are kept apart, open in one. @throws GatewayError */
  async load(version: ModelVersion, signal: AbortSignal): Promise<void> {
    const { sessions, dispatcher } = this.#options
    const openIn = async (worker: SessionWorker) => {
      const session = sessions.find(version.key, worker.id) ?? (await sessions.open(version.key, worker))
      await session.opening
    }
    this.#options.table.forgetFailure(version.key)
    try {
      this.#refuseIfBlamed(version)
      const { lease } = await this.#ready(version, signal)
      try {
        const worker = dispatcher.homeWorker(version.key)
        if (worker === undefined) {
          if (dispatcher.workersUp === 0)
            throw new GatewayError('OVERLOADED', 'no worker process is up', { retryAfterMs: 1000 })
          // The first request binds a worker to it.
          return
        }
        try {
          await openIn(worker)
        } catch (error) {
          if (!isDeviceOutOfMemory(error)) throw error
          // Room was made since, as much as may help: once more.
          await openIn(worker)
        }
      } finally {
        lease.release()
      }
    } catch (error) {
      throw this.#told(error instanceof ChildGoneError ? openerCrashed(error) : error, version)
    }
  }

  /**
   * Resolves when the model's memory is given back; what is not resident is fine. A load under way and requests that hold the
   * model end first. @throws GatewayError CAPACITY_EXHAUSTED for a pinned model; the signal's reason
   */
  async unload(key: string, signal: AbortSignal): Promise<void> {
    const { table } = this.#options
    if (table.isPinned(key))
      throw new GatewayError('CAPACITY_EXHAUSTED', 'the model is pinned: remove its pin before unloading it')
    if (LOADING.has(table.get(key)?.status.s)) await this.#loadEnded(key, signal)
    table.drain(key, 'unloaded')
    await table.whenGone(key, signal)
  }

  /** Loads a key and keeps it from eviction. */
  async pin(version: ModelVersion, signal: AbortSignal): Promise<void> {
    const { table } = this.#options
    const wasPinned = table.isPinned(version.key)
    // Pinned first, or it could be evicted between its load and the pin.
    table.pin(version.key)
    try {
      await this.load(version, signal)
    } catch (error) {
      if (!wasPinned) table.unpin(version.key)
      throw error
    }
  }

  unpin(key: string): void {
    this.#options.table.unpin(key)
  }

  /** Lets a key that nobody will ask for any more go, once its requests are answered. */
  retire(key: string): void {
    this.#options.table.unpin(key)
    this.#options.table.drain(key, 'superseded')
  }

  stateOf(key: string): { state: ModelState; reason: string } {
    const refusal = this.#options.quarantine.refusal({ key })
    if (refusal !== undefined) return { state: 'UNAVAILABLE', reason: `${refusal.code}: ${refusal.message}` }
    const status = this.#options.table.get(key)?.status
    if (status === undefined) return { state: 'UNAVAILABLE', reason: '' }
    if (status.s === 'failed') {
      return { state: 'UNAVAILABLE', reason: `${status.error.code}: ${status.error.message}` }
    }
    const state = STATE_OF[status.s]
    const progress = status.s === 'fetching' ? this.#options.progressOf?.(key) : undefined
    const reason = progress === undefined ? status.s : `${status.s}: ${progressText(progress)}`
    return { state, reason: state === 'LOADING' ? reason : '' }
  }

  /** Structure only: from the artifact if there is one, else from the model file. @throws GatewayError */
  async inspect(version: ModelVersion, signal: AbortSignal, onWalk?: () => void): Promise<Inspection> {
    const { inspector, device } = this.#options
    const inspection = await inspector.inspect(version, signal, onWalk)
    return device === undefined ? inspection : { ...inspection, gpu: device.index }
  }

  statisticsOf(version: ModelVersion): ModelStatistics | undefined {
    const { statistics, placements, residents, device } = this.#options
    const row = statistics.get(version.key)
    if (row === undefined) return undefined
    let bytes = 0
    let deviceBytes = 0
    for (const { id, privateBytes } of placements.ofKey(version.key)) {
      bytes += privateBytes
      deviceBytes += device?.ledger.bytesOf(id) ?? 0
    }
    for (const blob of residents.get(version.key)?.manifest.blobs ?? []) bytes += blob.bytes
    const { batches, ...sums } = row
    const memory: ModelStatistics['memory'] = [
      { type: 'CPU' as const, id: 0, bytes },
      { type: 'GPU' as const, id: device?.index ?? 0, bytes: deviceBytes },
    ].filter((row_) => row_.bytes > 0)
    return { name: version.name, version: version.version, ...sums, batches: [...batches.values()], memory }
  }

  notReadyReason(): string | undefined {
    if (this.#isDraining) return 'the server is shutting down'
    if (this.#lost !== undefined) return this.#lost.message
    return this.#options.dispatcher.workersUp === 0 ? 'no worker process is up' : undefined
  }

  /** The GPU is gone: requests that wait and new ones get `error`. Undefined: it is back. */
  setDeviceLost(error: GatewayError | undefined): void {
    this.#lost = error
    if (error === undefined) return
    for (const key of this.#options.residents.keys()) this.#options.dispatcher.refuse(key, () => error)
  }

  /** Refuses new requests from now on; those inside are answered. */
  drain(): void {
    this.#isDraining = true
  }

  /** @throws GatewayError MODEL_QUARANTINED, ARTIFACT_INVALID; WORKER_CRASHED for a body that did so before */
  /** The same error with the names of the model it concerns, and with who says so. */
  #told(
    thrown: unknown,
    { name, version }: Pick<ModelVersion, 'name' | 'version'>,
    facts: ErrorFacts = {},
  ): GatewayError {
    const error = asGatewayError(thrown)
    const all = { model: name, version, replica: this.id, ...facts, ...error.facts }
    return new GatewayError(error.code, error.message, all, { cause: error.cause })
  }

  #refuseIfBlamed(version: ModelVersion, content?: RequestBody): void {
    const refusal = this.#options.quarantine.refusal(version, content)
    if (refusal !== undefined) throw this.#told(refusal, version)
  }

  #admit({ tenant, key, name, version }: ModelVersion, bytes: number): void {
    if (this.#lost !== undefined) throw this.#told(this.#lost, { name, version })
    const { occupancy, drainRate, limits, clock } = this.#options
    const refusal = admissionRefusal({
      held: occupancy.of(tenant, key),
      limits,
      isDraining: this.#isDraining,
      bytes,
      tenant,
      retryAfterMs: (requests) => drainRate.retryAfterMs(requests, clock.now()),
    })
    if (refusal !== undefined) throw this.#told(refusal, { name, version })
  }

  /** Takes the request to the queue, at once when its model is ready. Its failure is the request's outcome. */
  #lease(request: ReplicaRequest, { ifAbsent, coldStart }: Pick<InferRequest, 'ifAbsent' | 'coldStart'>): void {
    const { table, dispatcher } = this.#options
    const lease = table.acquire(request.key)
    if (lease !== undefined) {
      dispatcher.enqueue(request, lease)
      return
    }
    // Until it turns out that this request begins the load.
    request.cache = 'wait'
    if (ifAbsent === 'refuse') {
      request.fail(new GatewayError('MODEL_NOT_HERE', 'the model is not resident here and was not to be loaded'))
    } else if (coldStart === 'refuse') {
      request.fail(this.#begun(request.version))
    } else if (!request.isSettled) {
      request.waitsFor = 'its model to load'
      detach(this.#enqueueWhenReady(request))
    }
  }

  /** Sees to it that the model is being loaded, for nobody in particular. @returns how far that is */
  #begun(version: ModelVersion): GatewayError {
    const { table, loads, progressOf } = this.#options
    const { key } = version
    const state = table.get(key)?.status.s
    if (state === undefined || state === 'failed') {
      try {
        table.begin(key)
      } catch (error) {
        return asGatewayError(error)
      }
      loads.start(version)
    }
    return stillLoading(version, progressOf?.(key))
  }

  /** Loads the model once more for a request that had it, and hands the request in again. */
  loadAgain(request: ReplicaRequest): void {
    request.cache = 'wait'
    request.waitsFor = 'its model, which was damaged on disk and is made again'
    detach(this.#enqueueWhenReady(request))
  }

  async #enqueueWhenReady(request: ReplicaRequest): Promise<void> {
    try {
      const { lease, load } = await this.#ready(request.version, request.ended)
      if (load !== undefined) {
        Object.assign(request.timings, load.timings)
        request.cache = load.hasCompiled ? 'compile' : 'load'
      }
      this.#options.dispatcher.enqueue(request, lease)
    } catch (error) {
      // Whoever ended the request has told it why: then nothing comes of this.
      request.fail(asGatewayError(error))
    }
  }

  /** A lease, after a load if need be; `load` is set for whoever began it. */
  async #ready(
    version: ModelVersion,
    signal: AbortSignal,
  ): Promise<{ lease: Lease; load?: ReturnType<Loads['start']> }> {
    const { table, loads } = this.#options
    const { key } = version
    for (let met = 0; met < MAX_ENTRIES_MET; met++) {
      this.#refuseIfBlamed(version)
      const ready = table.acquire(key)
      if (ready !== undefined) return { lease: ready }
      const state = table.get(key)?.status.s
      if (state === 'draining') {
        await table.whenGone(key, signal)
      } else if (state === undefined || state === 'failed') {
        table.begin(key)
        // Joined first: a load that fails at once would leave nothing to join.
        const joined = table.join(key, signal)
        const load = loads.start(version)
        return { lease: await joined, load }
      } else {
        return { lease: await table.join(key, signal) }
      }
    }
    throw new Error(`${key} left ${MAX_ENTRIES_MET} times before it could be leased`)
  }

  /** Waits for a load under way, however it ends. @throws the signal's reason */
  async #loadEnded(key: string, signal: AbortSignal): Promise<void> {
    try {
      const lease = await this.#options.table.join(key, signal)
      lease.release()
    } catch {
      signal.throwIfAborted()
    }
  }
}

function openerCrashed(cause: ChildGoneError): GatewayError {
  return new GatewayError('WORKER_CRASHED', 'the worker process died while the model was opened', {}, { cause })
}
