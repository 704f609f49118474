/** Wires one replica of this process: rooms by their constructors, events to logs and metrics. */
import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import type { ArtifactStore } from '../artifact/artifact-store.ts'
import type { CacheEvent } from '../cache/entry-table.ts'
import { EntryTable } from '../cache/entry-table.ts'
import { lru } from '../cache/eviction-policy.ts'
import { Ledger } from '../cache/ledger.ts'
import { MappingBudget } from '../cache/mapping-budget.ts'
import { PlacementTable } from '../cache/placement-table.ts'
import { memoryLimitBytes } from '../child/memory.ts'
import type { Config } from '../config/schema.ts'
import { GatewayError } from '../domain/errors.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { Clock } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import { Dispatcher } from '../replica/dispatcher.ts'
import { Inspector } from '../replica/inspector.ts'
import type { StagedSource } from '../replica/loads.ts'
import { Loads } from '../replica/loads.ts'
import { ModelPaces } from '../replica/model-paces.ts'
import { Prober } from '../replica/prober.ts'
import { Replica } from '../replica/replica.ts'
import type { ReplicaRequest } from '../replica/request.ts'
import type { Resident } from '../replica/residents.ts'
import { batchingOf, Sessions } from '../replica/sessions.ts'
import { StatisticsTable } from '../replica/statistics.ts'
import { DrainRate } from '../scheduler/drain-rate.ts'
import { Estimates } from '../scheduler/estimates.ts'
import { Occupancy } from '../scheduler/occupancy.ts'
import { WorkerQueues } from '../scheduler/worker-queues.ts'
import type { ChildLines } from '../telemetry/child-lines.ts'
import type { EventLog } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { WorkerPool } from '../worker/worker-pool.ts'
import { observeReplica } from './replica-metrics.ts'

export interface ReplicaDeps {
  readonly id: string
  readonly config: Config
  readonly clock: Clock
  readonly artifacts: ArtifactStore
  readonly stage: (version: ModelVersion, signal?: AbortSignal) => Promise<StagedSource>
  readonly log: EventLog
  readonly metrics: Metrics
  readonly childLines: ChildLines
  /** A version became resident, or ceased to be. */
  readonly onResident: (version: ModelVersion) => void
  readonly onGone: (version: ModelVersion) => void
}

/** A replica with the parts that its owner starts, watches and stops. */
export interface RunningReplica {
  readonly replica: Replica
  /** The owner changed how a version is to be run; its bytes are the same. */
  applySettings(version: ModelVersion): void
  /** Waits for what is inside, then ends the workers. Idempotent. @returns false when something was cut off after `timeoutMs` */
  stop(timeoutMs: number): Promise<boolean>
}

/** Entries are cheap; the ledger bounds what matters. */
const MAX_ENTRIES = 200_000
const MAX_FAILURES = 10_000
const MAX_ESTIMATES = 50_000
const MAX_PROBES_WAITING = 1000
const STABLE_WORKER_MS = 60_000
const MAPPINGS_SHARE = 0.8
/** A file check this fresh is not repeated before an open. */
const CHECK_FRESH_MS = 5000

/** Resolves when all workers are up. */
export async function startReplica(deps: ReplicaDeps): Promise<RunningReplica> {
  const { config, clock, artifacts, log, childLines, metrics } = deps
  const { cache, scheduler, worker: workerConfig } = config
  const ledger = new Ledger(await budgetBytes(config))
  const residents = new Map<string, Resident>()
  const mappings = new MappingBudget(workerConfig.maxMappings ?? (await mappingLimit()))
  const estimates = new Estimates(MAX_ESTIMATES)
  const counters = observeReplica(metrics)

  const table = new EntryTable({
    clock,
    ledger,
    policy: lru,
    minResidencyMs: cache.minResidencyMs,
    maxLoadWaiters: scheduler.maxLoadWaiters,
    maxEntries: MAX_ENTRIES,
    failure: { ...cache.failure, maxEntries: MAX_FAILURES, random: Math.random },
    hasWork: (key) => queues.depthOf(key) > 0,
    publish: (event) => onCacheEvent(event),
    onDrained: (key) => detach(letGo(key)),
  })
  const placements = new PlacementTable({
    clock,
    ledger,
    mappings,
    publish: () => {},
    onBytesChanged: () => table.rebalance(),
  })
  const paces = new ModelPaces({ residents, placements, estimates, ledger })
  const queues: WorkerQueues<ReplicaRequest> = new WorkerQueues({
    starvationMs: scheduler.starvationMs,
    weightOf: (tenant) => scheduler.tenantWeights[tenant] ?? 1,
    limits: { ...scheduler, maxBytes: scheduler.maxQueuedBytes },
    view: {
      pace: (key) => paces.paceOf(key),
      canRun: (key) => paces.canRun(key, queues, clock.now()),
      stealCost: (key, workerId) => paces.stealCost(key, workerId),
      fixedHome: (key) => paces.fixedHome(key),
    },
  })
  const pool = new WorkerPool({
    count: workerConfig.count ?? availableParallelism(),
    clock,
    respawn: { baseMs: workerConfig.respawnBaseMs, maxMs: workerConfig.respawnMaxMs, stableMs: STABLE_WORKER_MS },
    onLine: (id, line) => childLines.line(id, line),
    onUp: (worker) => {
      log.event('worker.up', { worker: worker.id, pid: worker.pid })
      dispatcher.workerUp(worker)
    },
    onDown: (worker, exit) => {
      log.event('worker.down', { worker: worker.id, ...exit })
      childLines.end(worker.id)
      counters.workerRestarts.with({ reason: exit.signal ?? 'exit' }).add()
      dispatcher.workerDown(worker.id)
      placements.workerDown(worker.id, 'worker down')
    },
  })
  const workers = new Map(pool.workers.map((worker) => [worker.id, worker]))
  const sessions = new Sessions({
    table,
    placements,
    residents,
    workerOf: (id) => workers.get(id),
    fileOf: async (resident) => {
      if (clock.now() - resident.checkedAt > CHECK_FRESH_MS) {
        if (!(await artifacts.checkFiles(resident.manifest))) throw damaged(resident.version.key)
        resident.checkedAt = clock.now()
      }
      return artifacts.fileOf(resident.manifest)
    },
    onOpened: (placement, report) => {
      const { key, workerId } = placement
      for (const error of report.warmUpErrors) log.event('model.warm-up-failed', { key, worker: workerId, error })
    },
  })
  const prober = new Prober({
    probe: (manifest, { tenant, settings }) => artifacts.probe(manifest.artifact, { tenant, ...settings }),
    maxWaiting: MAX_PROBES_WAITING,
    onFailed: (version, err) => log.event('artifact.probe-failed', { key: version.key, err }),
    onProbed: (version, manifest) => {
      const resident = residents.get(version.key)
      if (resident?.manifest.artifact !== manifest.artifact) return
      resident.manifest = manifest
      applyBatching(resident)
    },
  })
  const dispatcher = new Dispatcher({
    clock,
    queues,
    sessions,
    estimates,
    aheadMs: scheduler.aheadMs,
    wantsPacked: (key) => paces.wantsPacked(key),
    onHandedBack: ({ key }, report) => {
      counters.runs.add(report.runs)
      statistics.handOver(key, report)
      const resident = residents.get(key)
      if (resident === undefined || report.runs === 0) return
      resident.runs += report.runs
      if (config.artifact.probe) prober.note(resident.version, resident.manifest)
    },
    onOpenFailed: (key, error) => {
      log.event('model.open-failed', { key, err: error })
      table.fail(key, error)
    },
  })
  const loads = new Loads({
    table,
    residents,
    artifacts,
    stage: deps.stage,
    parallel: scheduler.loads,
    clock,
    onEnded: (version, load, error) => {
      const outcome = error === undefined ? (load.hasCompiled ? 'compiled' : 'loaded') : error.code
      counters.loads.with({ outcome }).add()
      for (const [phase, ms] of Object.entries(load.timings)) counters.loadSeconds.with({ phase }).observe(ms / 1000)
      if (error === undefined) log.event('model.loaded', { key: version.key, ...load.timings })
      else log.event('model.load-failed', { key: version.key, code: error.code, err: error })
    },
  })
  const occupancy = new Occupancy()
  const statistics = new StatisticsTable(clock)
  const replica = new Replica({
    id: deps.id,
    clock,
    table,
    placements,
    residents,
    loads,
    inspector: new Inspector({
      find: (sourceId) => artifacts.find(sourceId),
      stage: deps.stage,
      walk: (source) => artifacts.inspect(source),
    }),
    sessions,
    dispatcher,
    occupancy,
    drainRate: new DrainRate(clock.now()),
    statistics,
    limits: scheduler,
    deadlineMs: config.server.deadlineMs,
  })

  function onCacheEvent(event: CacheEvent): void {
    if (event.kind === 'evicted') {
      counters.evictions.with({ reason: 'memory' }).add()
      counters.ageAtEviction.observe(event.idleMs / 1000)
      log.event('model.evicted', {
        key: event.key,
        ageMs: Math.round(event.ageMs),
        idleMs: Math.round(event.idleMs),
        uses: event.uses,
      })
    } else if (event.kind === 'overrun') {
      log.event('memory.overrun', { bytes: event.bytes })
    } else if (event.kind === 'moved') {
      const version = residents.get(event.key)?.version
      if (version === undefined) return
      if (event.to === 'ready') deps.onResident(version)
      if (event.from === 'ready') deps.onGone(version)
    }
  }

  /** A drained entry: its sessions are closed, then its memory is free for others. */
  async function letGo(key: string): Promise<void> {
    await sessions.closeAll(key, 'drained')
    residents.get(key)?.letGo()
    residents.delete(key)
    table.freed(key)
  }

  function applyBatching({ version, manifest }: Resident): void {
    const batching = batchingOf(version.settings.batching, manifest)
    for (const { id, workerId } of placements.ofKey(version.key)) workers.get(workerId)?.setBatching(id, batching)
  }

  let stopped: Promise<boolean> | undefined
  async function stop(timeoutMs: number): Promise<boolean> {
    replica.drain()
    table.close(new GatewayError('DRAINING', 'the server is shutting down'))
    prober.close()
    const isWhole = await dispatcher.idle(timeoutMs)
    dispatcher.close()
    await pool.close(workerConfig.stopGraceMs)
    return isWhole
  }

  counters.observe({ table, placements, ledger, queues, pool, artifacts })
  await pool.start().catch(async (error: unknown) => {
    await pool.close(0)
    throw error
  })
  return {
    replica,
    applySettings(version) {
      const resident = residents.get(version.key)
      if (resident === undefined) return
      resident.version = version
      applyBatching(resident)
    },
    stop: (timeoutMs) => (stopped ??= stop(timeoutMs)),
  }
}

async function budgetBytes({ cache }: Config): Promise<number> {
  return cache.memoryBytes ?? Math.floor((await memoryLimitBytes()) * cache.memoryFraction)
}

async function mappingLimit(): Promise<number> {
  return Math.floor(Number(await readFile('/proc/sys/vm/max_map_count', 'latin1')) * MAPPINGS_SHARE)
}

function damaged(key: string): GatewayError {
  return new GatewayError('MODEL_LOADING', `the compiled form of ${key} was damaged on disk and is made again`, {
    retryAfterMs: 1000,
  })
}
