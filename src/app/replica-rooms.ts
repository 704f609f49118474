/**
 * Ties the rooms of one replica together: table, ledger, queues, sessions, loads, dispatcher. Processes, logs and metrics are
 * its caller's; what happens is told through `ReplicaWatch`.
 */

import { DeviceLedger } from '../cache/device-ledger.ts'
import type { CacheEvent } from '../cache/entry-table.ts'
import { EntryTable } from '../cache/entry-table.ts'
import { POLICIES } from '../cache/eviction-policy.ts'
import { Ledger } from '../cache/ledger.ts'
import { MappingBudget } from '../cache/mapping-budget.ts'
import type { Placement } from '../cache/placement.ts'
import { PlacementTable } from '../cache/placement-table.ts'
import type { Config } from '../config/schema.ts'
import type { Manifest } from '../domain/artifact.ts'
import { isDeviceOutOfMemory } from '../domain/device-memory.ts'
import { GatewayError } from '../domain/errors.ts'
import type { FetchProgress } from '../domain/fetch-progress.ts'
import type { SpanRef } from '../domain/inference.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { Signature } from '../domain/tensor-types.ts'
import { trustDomain } from '../domain/trust-domain.ts'
import type { Clock } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import { BatchDelays } from '../replica/batch-delays.ts'
import { DeviceRoom } from '../replica/device-room.ts'
import { Dispatcher } from '../replica/dispatcher.ts'
import { Inspector } from '../replica/inspector.ts'
import { Lanes } from '../replica/lanes.ts'
import { LastWorker } from '../replica/last-worker.ts'
import type { Artifacts, Load, StagedSource } from '../replica/loads.ts'
import { Loads } from '../replica/loads.ts'
import { ModelPaces } from '../replica/model-paces.ts'
import { Replica } from '../replica/replica.ts'
import type { ReplicaRequest } from '../replica/request.ts'
import type { Resident } from '../replica/residents.ts'
import { batchingOf, demandOf, formOf } from '../replica/residents.ts'
import type { SessionWorker } from '../replica/session-worker.ts'
import { Sessions } from '../replica/sessions.ts'
import { StatisticsTable } from '../replica/statistics.ts'
import { DomainQueues } from '../scheduler/domain-queues.ts'
import { DrainRate } from '../scheduler/drain-rate.ts'
import { Estimates } from '../scheduler/estimates.ts'
import { Occupancy } from '../scheduler/occupancy.ts'
import { mayDuplicate } from '../scheduler/steal.ts'
import type { WorkQueues } from '../scheduler/work-queues.ts'
import type { WorkerQueuesOptions } from '../scheduler/worker-queues.ts'
import { WorkerQueues } from '../scheduler/worker-queues.ts'
import type { HandOverReport, OpenReport } from '../worker/messages.ts'
import type { BlameMeans, BlameWatch } from './blame-rooms.ts'
import { blameRooms } from './blame-rooms.ts'

/** The artifact room as a replica needs it. */
export interface ReplicaArtifacts extends Artifacts {
  /** Are the files of the artifact the ones that were written? */
  checkFiles(manifest: Manifest): Promise<boolean>
  /** Absolute path of the file to open. */
  fileOf(manifest: Manifest): string
  inspect(source: StagedSource & { readonly tenant: string }): Promise<Signature>
}

/** What happens in a replica, for logs, metrics and the probe. Called synchronously; must not throw. */
export interface ReplicaWatch extends BlameWatch {
  onCacheEvent(event: CacheEvent): void
  onLoadEnded(version: ModelVersion, load: Load, error: GatewayError | undefined): void
  onWait?(key: string, span: SpanRef): void
  onOpened(placement: Placement, report: OpenReport): void
  onOpenFailed(key: string, error: GatewayError): void
  onHang(workerId: string, key: string): void
  /** A session was closed to make room on the GPU. */
  onDeviceEvicted(placement: Placement): void
  onDeviceOutOfMemory(key: string, when: 'open' | 'run', error: GatewayError): void
  /** A worker ran out of the GPU's memory again and again. */
  onDeviceExhausted(workerId: string): void
  /** The slot's worker has been at a run for far too long while others wait for workers. */
  onStuck(slot: string): void
  /** `resident` is undefined when the model left while it ran; `requests` are in the order of the report's answers. */
  onHandedBack(resident: Resident | undefined, report: HandOverReport, requests: readonly ReplicaRequest[]): void
}

export interface RoomsOptions {
  readonly id: string
  readonly clock: Clock
  readonly config: Pick<Config, 'cache' | 'scheduler' | 'server' | 'worker' | 'quarantine'>
  readonly memoryBytes: number
  /** The GPU that sessions are on; absent on the CPU. */
  readonly device?: { readonly index: number; readonly budgetBytes: number } | undefined
  /** Memory mappings that models may take in one worker. */
  readonly maxMappings: number
  readonly artifacts: ReplicaArtifacts
  readonly blame: BlameMeans
  readonly stage: (version: ModelVersion, signal?: AbortSignal) => Promise<StagedSource>
  /** The version with the settings that it has by now. */
  readonly current: (version: ModelVersion) => ModelVersion
  /** Of a version whose files are being fetched, by its key. */
  readonly progressOf: (key: string) => FetchProgress | undefined
  /** In [0, 1). */
  readonly random: () => number
  readonly watch: ReplicaWatch
}

export type ReplicaRooms = ReturnType<typeof replicaRooms>

/** Entries are cheap; the ledger bounds what matters. */
const MAX_ENTRIES = 200_000
const MAX_FAILURES = 10_000
const MAX_ESTIMATES = 50_000
/** Bodies that a worker is handed at once, unless a single one is larger. */
const HAND_OVER_BYTES = 32 * 2 ** 20
/** A file check this fresh is not repeated before an open. */
const CHECK_FRESH_MS = 5000

export function replicaRooms({ id, clock, config, artifacts, stage, watch, ...options }: RoomsOptions) {
  const { cache, scheduler, server } = config
  const ledger = new Ledger(options.memoryBytes)
  const residents = new Map<string, Resident>()
  const workers = new Map<string, SessionWorker>()
  const estimates = new Estimates(MAX_ESTIMATES)
  const delays = new BatchDelays(residents)
  const statistics = new StatisticsTable(clock)

  const table = new EntryTable({
    clock,
    ledger,
    policy: POLICIES[cache.policy],
    minResidencyMs: cache.minResidencyMs,
    maxLoadWaiters: scheduler.maxLoadWaiters,
    maxEntries: MAX_ENTRIES,
    failure: { ...cache.failure, maxEntries: MAX_FAILURES, random: options.random },
    hasWork: (key) => queues.depthOf(key) > 0,
    publish: (event) => watch.onCacheEvent(event),
    onDrained: (key) => detach(letGo(key)),
  })
  const mappings = new MappingBudget(options.maxMappings)
  const deviceLedger = options.device === undefined ? undefined : new DeviceLedger(options.device.budgetBytes)
  const placements = new PlacementTable({
    clock,
    ledger,
    mappings,
    device: deviceLedger,
    publish: () => {},
    onBytesChanged: () => table.rebalance(),
  })
  const paces = new ModelPaces({ clock, residents, placements, estimates, ledger })
  const lanes = new Lanes(clock)
  const lastWorker = new LastWorker(clock, lanes)
  const queueOptions: WorkerQueuesOptions = {
    starvationMs: scheduler.starvationMs,
    weightOf: (tenant) => scheduler.tenantWeights[tenant] ?? 1,
    limits: { ...scheduler, maxBytes: HAND_OVER_BYTES },
    view: {
      pace: (key) => paces.paceOf(key),
      canRun: (key, slot) =>
        !isKept(key) && lastWorker.mayHave(tenantOfKey(key), slot) && delays.mayRun(key, queues, clock.now()),
      stealCost: (key, workerId) => paces.stealCost(key, workerId),
      fixedHome: (key) => paces.fixedHome(key),
    },
  }
  const { isolation } = config.worker
  const domainOf = (key: string) => trustDomain(key, isolation)
  // A hand-over is of one model: no run ever stacks requests of two, however workers are shared.
  const apart =
    isolation === 'shared'
      ? undefined
      : new DomainQueues<ReplicaRequest>({ ...queueOptions, domainOf: (key) => domainOf(key) ?? '' })
  const queues: WorkQueues<ReplicaRequest> = apart ?? new WorkerQueues(queueOptions)
  const device =
    deviceLedger === undefined
      ? undefined
      : new DeviceRoom({
          clock,
          ledger: deviceLedger,
          placements,
          isPinned: (key) => table.isPinned(key),
          onEvicted: (placement) => watch.onDeviceEvicted(placement),
          onOutOfMemory: (key, when, error) => watch.onDeviceOutOfMemory(key, when, error),
          onExhausted: (workerId) => watch.onDeviceExhausted(workerId),
        })
  const sessions = new Sessions({
    table,
    placements,
    residents,
    domainOf,
    device,
    workerOf,
    fileOf: (resident) =>
      clock.now() - resident.checkedAt <= CHECK_FRESH_MS ? artifacts.fileOf(resident.manifest) : checkedFile(resident),
    onOpened: (placement, report) => watch.onOpened(placement, report),
    onOpenFailed: (key, error) => {
      watch.onOpenFailed(key, error)
      table.fail(key, error)
      dispatcher.refuse(key, () => error)
    },
    onOpenDied: (key, died) => blame.openDied(key, died),
  })
  const dispatcher = new Dispatcher({
    clock,
    lanes,
    queues,
    sessions,
    estimates,
    aheadMs: scheduler.aheadMs,
    hangMs: config.worker.hangMs,
    onHang: (workerId, key) => watch.onHang(workerId, key),
    onStuck: (slot) => watch.onStuck(slot),
    takeSoonestMs: () => delays.takeSoonestMs(),
    onNoRoom: (key) => paces.keepHome(key),
    onHandedBack: ({ key, items }, report) => {
      statistics.handOver(key, report)
      const resident = residents.get(key)
      if (resident !== undefined) resident.runs += report.runs
      if (resident !== undefined && device !== undefined) noteOutOfMemory(device, resident, report)
      watch.onHandedBack(resident, report, items)
    },
    onDied: (handOver, died) => blame.handOverDied(handOver, died),
    refusal: ({ version, content }) => quarantine.refusal(version, content),
    isTrusted: (key) => damage.isTrusted(key),
    onUntrusted: (requests) => damage.sendBack(requests),
  })
  const { blame, damage, trials, quarantine } = blameRooms({
    ...options.blame,
    clock,
    config,
    table,
    placements,
    residents,
    sessions,
    estimates,
    dispatcher,
    loadAgain: (request) => replica.loadAgain(request),
    onAnswered: (request, report) => {
      statistics.handOver(request.key, report)
      watch.onHandedBack(residents.get(request.key), report, [request])
    },
    watch,
  })
  const loads = new Loads({
    table,
    residents,
    artifacts,
    stage,
    current: options.current,
    parallel: scheduler.loads,
    roomWaitMs: scheduler.roomWaitMs,
    clock,
    onEnded: (version, load, error) => {
      if (error === undefined) quarantine.compiled(version)
      else quarantine.compileFailed(version, error)
      watch.onLoadEnded(version, load, error)
    },
  })
  const occupancy = new Occupancy()
  const replica = new Replica({
    id,
    clock,
    table,
    placements,
    residents,
    loads,
    inspector: new Inspector({
      find: (sourceId) => artifacts.find(sourceId),
      stage,
      walk: (source) => artifacts.inspect(source),
    }),
    sessions,
    dispatcher,
    occupancy,
    quarantine,
    drainRate: new DrainRate(clock.now()),
    statistics,
    limits: scheduler,
    deadlineMs: server.deadlineMs,
    progressOf: options.progressOf,
    onWait: (key, span) => watch.onWait?.(key, span),
    device: deviceLedger && { index: options.device?.index ?? 0, ledger: deviceLedger },
  })

  function workerOf(workerId: string): SessionWorker | undefined {
    // One that has not got its slot yet, or has left it, is given nothing; sessions are opened and closed there all the same.
    return dispatcher.worker(workerId) ?? trials.worker(workerId) ?? workers.get(workerId)
  }

  function tenantOfKey(key: string): string {
    return residents.get(key)?.version.tenant ?? ''
  }

  /** Kept from workers: its files are being looked at, or the one session it may have is the spare's. */
  function isKept(key: string): boolean {
    if (blame.isHeld(key)) return true
    if (!trials.isTrying(key)) return false
    const resident = residents.get(key)
    return resident !== undefined && !mayDuplicate(formOf(resident.manifest))
  }

  async function checkedFile(resident: Resident): Promise<string> {
    if (!(await artifacts.checkFiles(resident.manifest))) throw damaged(resident.version)
    resident.checkedAt = clock.now()
    return artifacts.fileOf(resident.manifest)
  }

  /** Once for a hand-over: what was stacked runs out again when it is repeated one by one. */
  function noteOutOfMemory(room: DeviceRoom, { version, manifest }: Resident, { answers }: HandOverReport): void {
    const failed = answers.find((answer) => !answer.ok && isDeviceOutOfMemory(answer.error))
    if (failed === undefined || failed.ok) return
    const [placement] = placements.ofKey(version.key)
    if (placement !== undefined) room.runFailed(placement, manifest, failed.error)
  }

  /** A drained entry: its sessions are closed, then its memory is free for others. */
  async function letGo(key: string): Promise<void> {
    await sessions.closeAll(key, 'drained')
    residents.get(key)?.letGo()
    residents.delete(key)
    table.freed(key)
  }

  function applyBatching(resident: Resident): void {
    const batching = batchingOf(resident)
    for (const { id: placementId, workerId } of placements.ofKey(resident.version.key))
      workerOf(workerId)?.setBatching(placementId, batching)
  }

  return {
    replica,
    table,
    ledger,
    placements,
    mappings,
    device: deviceLedger,
    queues,
    sessions,
    dispatcher,
    loads,
    residents,
    occupancy,
    quarantine,
    damage,
    trials,
    workerUp(worker: SessionWorker): void {
      workers.set(worker.id, worker)
      dispatcher.workerUp(worker)
    },
    /** Sessions may be opened in it; hand-overs go to the one that has its slot until `succeed`. */
    successorUp(worker: SessionWorker): void {
      workers.set(worker.id, worker)
    },
    maySucceed: ({ domain, slot }: SessionWorker): boolean => domain === undefined || domain === apart?.domainOf(slot),
    workerDown(workerId: string): void {
      // The homes of models that may be open only once follow their placements: those go first.
      placements.workerDown(workerId, 'worker down')
      dispatcher.workerDown(workerId)
    },
    /** The owner changed how a version is to be run; its bytes are the same. */
    applySettings(version: ModelVersion): void {
      const resident = residents.get(version.key)
      if (resident === undefined) return
      resident.version = version
      applyBatching(resident)
    },
    /** More is known of a version's artifact: the probe measured it, or a request checked it. */
    applyManifest({ key }: ModelVersion, manifest: Manifest): void {
      const resident = residents.get(key)
      if (resident?.manifest.artifact !== manifest.artifact) return
      const hasOtherForm = resident.manifest.form !== manifest.form
      resident.manifest = manifest
      // What is open is not what should be: the next request opens the other form.
      if (hasOtherForm) table.drain(key, 'checked')
      else {
        table.remeasure(key, demandOf(manifest))
        applyBatching(resident)
      }
    },
    /** Refuses what is new and what waits for a load, and waits for what is queued. @returns false when something was cut off */
    async stop(timeoutMs: number): Promise<boolean> {
      replica.drain()
      table.close(new GatewayError('DRAINING', 'the server is shutting down'))
      const isWhole = await dispatcher.idle(timeoutMs)
      trials.close()
      quarantine.close()
      dispatcher.close()
      return isWhole
    },
  }
}

function damaged({ name, version }: ModelVersion): GatewayError {
  return new GatewayError(
    'MODEL_LOADING',
    `the compiled form of ${name}:${version} was damaged on disk and is made again`,
    {
      retryAfterMs: 1000,
    },
  )
}
