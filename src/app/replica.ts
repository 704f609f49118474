/** Starts one replica of this process: its rooms, its worker processes, and what logs and metrics learn of them. */
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { QuarantineFolder } from '../artifact/quarantine-folder.ts'
import type { SharedArtifacts } from '../artifact/shared-artifacts.ts'
import type { CacheEvent } from '../cache/entry-table.ts'
import { memoryLimitBytes } from '../child/memory.ts'
import { readMemoryPressure } from '../child/memory-pressure.ts'
import { readGpuMemory } from '../child/nvidia-smi.ts'
import type { Spawn } from '../child/orphan-guard.ts'
import { readProcessStat } from '../child/process-stat.ts'
import type { Config } from '../config/schema.ts'
import type { Device } from '../domain/device.ts'
import { deviceIndex, isGpu } from '../domain/device.ts'
import type { GatewayError } from '../domain/errors.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import { slotOf } from '../domain/worker-slot.ts'
import type { Clock } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import type { Load, StagedSource } from '../replica/loads.ts'
import { compileSource } from '../replica/loads.ts'
import { Prober } from '../replica/prober.ts'
import type { Quarantine } from '../replica/quarantine.ts'
import { Rechecker } from '../replica/rechecker.ts'
import { Recycler } from '../replica/recycler.ts'
import type { Replica } from '../replica/replica.ts'
import type { Activities } from '../telemetry/activity.ts'
import type { ChildLines } from '../telemetry/child-lines.ts'
import type { LoadSpans } from '../telemetry/load-spans.ts'
import type { EventLog } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { MemoryGuard } from '../worker/memory-guard.ts'
import { SpareWorker } from '../worker/spare-worker.ts'
import type { Worker } from '../worker/worker.ts'
import { WorkerPool } from '../worker/worker-pool.ts'
import { blameWatch } from './blame-watch.ts'
import { DeviceWatch, deviceBudgetBytes } from './device-watch.ts'
import { budgetBytes, systemMappings, workerLimits } from './memory-limits.ts'
import type { ReplicaOverview } from './overview.ts'
import { replicaOverview } from './overview.ts'
import { PinReader } from './pin-reader.ts'
import { observeReplica } from './replica-metrics.ts'
import type { ReplicaRooms } from './replica-rooms.ts'
import { replicaRooms } from './replica-rooms.ts'
import { workerBooks } from './worker-books.ts'
import { WorkerVitals } from './worker-vitals.ts'

export interface ReplicaDeps {
  readonly id: string
  readonly config: Config
  readonly device: Device
  readonly clock: Clock
  readonly artifacts: SharedArtifacts
  readonly stage: (version: ModelVersion, signal?: AbortSignal) => Promise<StagedSource>
  readonly log: EventLog
  readonly metrics: Metrics
  readonly childLines: ChildLines
  /** How worker processes are made. */
  readonly spawn: Spawn
  readonly activities: Activities
  /** Absent = loads are not traced. */
  readonly loadSpans: LoadSpans | undefined
  /** The ModelKey that the registry has for a version now. */
  readonly keyOf: (name: string, version: string) => string | undefined
  /** A version became resident, or ceased to be. */
  readonly onResident: (version: ModelVersion) => void
  readonly onGone: (version: ModelVersion) => void
  /** A key is not refused any more. */
  readonly onReleased: (key: string) => void
}

/** A replica with the parts that its owner starts, watches and stops. */
export interface RunningReplica {
  readonly replica: Replica
  /** The owner changed how a version is to be run; its bytes are the same. */
  applySettings(version: ModelVersion): void
  /** With the `top` busiest models. */
  overview(top: number): Promise<ReplicaOverview>
  /** Replaces the process of a worker by a fresh one; nobody waits for it. @throws Error when none came up, and the old one stays */
  recycle(worker: string, reason: string): Promise<void>
  /** Which models are refused, and their release. */
  readonly quarantine: Quarantine
  /** Files, as paths in the cache folder, were found not to be what was written, and are gone. */
  filesDamaged(paths: readonly string[]): void
  /** Waits for what is inside, then ends the workers. Idempotent. @returns false when something was cut off after `timeoutMs` */
  stop(timeoutMs: number): Promise<boolean>
}

const MAX_PROBES_WAITING = 1000
const STABLE_WORKER_MS = 60_000
/** The start of a process takes half a second of a core. */
const SPARE_REST_MS = 1000
/** Fewer requests than this are nobody's harm. */
const SERVING_PER_SECOND = 0.1
/** The process's own heaps come and go in some hundreds of mappings. */
const MIN_MAPPINGS_DRIFT = 2000

/** Resolves when all workers are up. */
export async function startReplica(deps: ReplicaDeps): Promise<RunningReplica> {
  const { config, device, clock, artifacts, log, childLines, metrics, loadSpans } = deps
  const { worker: workerConfig } = config
  // A GPU does one thing at a time, and a second process on it pays for a second context.
  const workerCount = isGpu(device) ? 1 : (workerConfig.count ?? availableParallelism())
  const limitBytes = await memoryLimitBytes()
  const memoryBytes = budgetBytes(config.cache, limitBytes)
  const maxMappings = workerConfig.maxMappings ?? (await systemMappings())
  const gpu = isGpu(device) ? newDeviceWatch() : undefined
  const budgetOnGpu = gpu === undefined ? undefined : deviceBudgetBytes(config.device, await gpu.memory())
  const counters = observeReplica(metrics)
  const prober = new Prober({
    probe: (manifest, { tenant, settings }) => artifacts.probe(manifest.artifact, { tenant, ...settings }),
    maxWaiting: MAX_PROBES_WAITING,
    clock,
    onFailed: (version, err) => log.event('artifact.probe-failed', { key: version.key, err }),
    onProbed: (version, manifest) => rooms.applyManifest(version, manifest),
  })
  const rechecker = new Rechecker({
    recheck: async (version, request) =>
      await artifacts.recheck(compileSource(await deps.stage(version), version), request),
    onFailed: (version, err) => log.event('artifact.recheck-failed', { key: version.key, err }),
    onChecked: (version, manifest) => {
      log.event('artifact.rechecked', { key: version.key, form: manifest.form, check: manifest.check })
      rooms.applyManifest(version, manifest)
    },
  })
  const spare = new SpareWorker({
    clock,
    idleMs: workerConfig.spareIdleMs,
    graceMs: workerConfig.stopGraceMs,
    device,
    spawn: deps.spawn,
    onLine: (id, line) => childLines.line(id, line),
    onUp: (worker) => log.event('worker.up', { worker: worker.id, pid: worker.pid }),
    onDown: (worker, exit) => {
      log.event('worker.down', { worker: worker.id, ...exit })
      childLines.end(worker.id)
    },
  })
  const records = new QuarantineFolder({
    cache: resolve(config.cache.dir),
    onUnreadable: (file, err) => log.event('quarantine.unreadable', { file, err }),
  })
  const rooms: ReplicaRooms = replicaRooms({
    id: deps.id,
    clock,
    config,
    memoryBytes,
    device: budgetOnGpu === undefined ? undefined : { index: deviceIndex(device), budgetBytes: budgetOnGpu },
    maxMappings,
    artifacts,
    stage: deps.stage,
    blame: {
      spare,
      records,
      initial: await records.read(),
      conditions: judgedUnder(config, artifacts.ortVersion),
      verify: (artifact) => artifacts.verify(artifact),
    },
    random: Math.random,
    watch: {
      ...blameWatch(log, metrics, deps.onReleased),
      onCacheEvent,
      ...(loadSpans !== undefined && { onWait: (key, span) => loadSpans.waits(key, span) }),
      onLoadEnded: (version, load, error) => {
        const outcome = error === undefined ? (load.hasCompiled ? 'compiled' : 'loaded') : error.code
        counters.loads.with({ outcome }).add()
        const compiled = compileOutcome(load, error)
        if (compiled !== undefined) counters.compiles.with({ outcome: compiled }).add()
        for (const [phase, ms] of Object.entries(load.timings)) counters.loadSeconds.with({ phase }).observe(ms / 1000)
        loadSpans?.ended({
          key: version.key,
          model: version.name,
          version: version.version,
          timings: load.timings,
          code: error?.code,
        })
        if (error === undefined) log.event('model.loaded', { key: version.key, ...load.timings })
        else log.event('model.load-failed', { key: version.key, code: error.code, err: error })
      },
      onOpened: ({ key, workerId }, report) => {
        for (const error of report.warmUpErrors) log.event('model.warm-up-failed', { key, worker: workerId, error })
      },
      onOpenFailed: (key, error) => log.event('model.open-failed', { key, err: error }),
      onHang: (worker, key) => log.event('worker.hung', { worker, key }),
      onDeviceEvicted: ({ key }) => {
        counters.evictions.with({ reason: 'device' }).add()
        log.event('device.evicted', { key })
      },
      onDeviceOutOfMemory: (key, when, err) => {
        counters.outOfDeviceMemory.with({ when }).add()
        log.event('device.out-of-memory', { key, when, err })
      },
      onDeviceExhausted: (workerId) => detach(replaceOnGpu(slotOf(workerId))),
      onHandedBack: (resident, { runs, answers }, requests) => {
        counters.runs.add(runs)
        if (resident === undefined || runs === 0) return
        const { version, manifest } = resident
        if (config.artifact.probe) prober.note(version, manifest)
        if (answers[0]?.ok === true) rechecker.note(version, manifest, requests[0]?.content)
      },
    },
  })
  const { replica, table, ledger, placements, queues, residents } = rooms
  /** Slots whose process was replaced to serve another trust domain, until the next one is up. */
  const renewed = new Set<string>()
  const isIsolated = workerConfig.isolation !== 'shared'
  const pool = new WorkerPool({
    count: workerCount,
    device,
    maxAnswerBytes: config.server.maxAnswerBytes,
    clock,
    spawn: deps.spawn,
    // On a GPU it would hold memory there for nothing.
    keepsSpare: isIsolated || gpu === undefined,
    // Where processes change hands all day the next one is wanted at once; after a crash the successor's first requests come first.
    spareRestMs: isIsolated ? 0 : SPARE_REST_MS,
    respawn: { baseMs: workerConfig.respawnBaseMs, maxMs: workerConfig.respawnMaxMs, stableMs: STABLE_WORKER_MS },
    onLine: (id, line) => childLines.line(id, line),
    onUnfit: ({ id }, err) => {
      log.event('worker.start-failed', { worker: id, err })
      gpu?.unfit(err)
    },
    onUp: (worker) => {
      gpu?.up()
      // What is done all day for the sake of isolation is no news.
      const event = renewed.delete(worker.slot) ? 'worker.renewed' : 'worker.up'
      log.event(event, { worker: worker.id, pid: worker.pid })
      rooms.workerUp(worker)
    },
    onDown: (worker, exit) => {
      childLines.end(worker.id)
      counters.workerRestarts.with({ reason: exit.reason }).add()
      if (exit.reason === 'rebind') {
        renewed.add(worker.slot)
      } else {
        log.event('worker.down', { worker: worker.id, ...exit })
        vitals.down(worker.slot)
      }
      rooms.workerDown(worker.id)
    },
  })

  const guard = new MemoryGuard({
    clock,
    limits: workerLimits(workerConfig, workerCount, memoryBytes, limitBytes),
    workers: () => [...pool.everyWorker, ...spare.workers],
    chargedBytes: (workerId) => placements.costOf(workerId).privateBytes,
    onOver: (worker, privateBytes) => log.event('worker.over-memory', { worker, privateBytes }),
  })
  const vitals = new WorkerVitals({
    clock,
    log,
    workers: () => pool.workers,
    readStat: readProcessStat,
    readPressure: readMemoryPressure,
    majorFaultsAlarm: workerConfig.majorFaultsAlarm,
    isServing: () => deps.activities.all.rate.perSecond(clock.now()) > SERVING_PER_SECOND,
  })

  const recycler = new Recycler<Worker>({
    ...rooms,
    clock,
    pool,
    successorDown: (workerId) => rooms.workerDown(workerId),
    measure: (worker, isThorough) => workerBooks(rooms, worker, isThorough),
    limits: { bytes: workerConfig.recycleDriftBytes, mappings: Math.max(maxMappings / 8, MIN_MAPPINGS_DRIFT) },
    pauseMs: workerConfig.recyclePauseMs,
    hotModels: workerConfig.recycleHotModels,
    openLimitMs: workerConfig.hangMs,
    stopGraceMs: workerConfig.stopGraceMs,
    onRecycled: ({ slot, ...facts }) => log.event('worker.recycled', { worker: slot, ...facts }),
    onFailed: (worker, reason, err) => log.event('worker.recycle-failed', { worker, reason, err }),
  })

  const pinReader = new PinReader({
    clock,
    everyMs: config.cache.pinRereadMs,
    pinned: () => [...residents].filter(([key]) => table.isPinned(key)).map(([, { manifest }]) => manifest),
    pageIn: (manifest) => artifacts.pageIn(manifest),
  })

  function onCacheEvent(event: CacheEvent): void {
    if (event.kind === 'evicted') {
      counters.evictions.with({ reason: 'memory' }).add()
      counters.ageAtEviction.observe(event.idleMs / 1000)
      log.event('model.evicted', {
        key: event.key,
        reason: 'memory',
        ageMs: Math.round(event.ageMs),
        idleMs: Math.round(event.idleMs),
        uses: event.uses,
      })
    } else if (event.kind === 'overrun') {
      log.event('memory.overrun', { bytes: event.bytes })
    } else if (event.kind === 'moved') {
      // An eviction has told of itself, with its age.
      if (event.to === 'draining' && event.reason !== 'evicted')
        log.event('model.drained', { key: event.key, reason: event.reason })
      const version = residents.get(event.key)?.version
      if (version === undefined) return
      if (event.to === 'ready') deps.onResident(version)
      if (event.from === 'ready') deps.onGone(version)
    }
  }

  function newDeviceWatch(): DeviceWatch {
    return new DeviceWatch({
      device,
      log,
      onChange: (lost) => replica.setDeviceLost(lost),
      readMemory: () => readGpuMemory(deviceIndex(device)),
    })
  }

  /** A fresh process gives back all that the old one held; where there is no room for both at once, the old one goes first. */
  async function replaceOnGpu(slot: string): Promise<void> {
    try {
      await recycler.recycle(slot, 'device memory')
    } catch {
      pool.workers.find((worker) => worker.slot === slot)?.kill('recycle')
    }
  }

  let stopped: Promise<boolean> | undefined
  async function stop(timeoutMs: number): Promise<boolean> {
    prober.close()
    guard.close()
    vitals.close()
    pinReader.close()
    recycler.close()
    const isWhole = await rooms.stop(timeoutMs)
    await Promise.all([pool.close(workerConfig.stopGraceMs), spare.close(workerConfig.stopGraceMs)])
    return isWhole
  }

  const { quarantine } = rooms
  counters.observe({
    table,
    placements,
    ledger,
    queues,
    pool,
    recycler,
    artifacts,
    vitals,
    quarantine,
    gpu,
    device: rooms.device,
  })
  await pool.start().catch(async (error: unknown) => {
    vitals.close()
    pinReader.close()
    await pool.close(0)
    throw error
  })
  return {
    replica,
    recycle: async (slot, reason) => void (await recycler.recycle(slot, reason)),
    quarantine,
    applySettings: (version) => rooms.applySettings(version),
    overview: (top) => replicaOverview({ ...deps, rooms, pool, vitals }, top),
    filesDamaged: (paths) => rooms.damage.found(paths),
    stop: (timeoutMs) => (stopped ??= stop(timeoutMs)),
  }
}

/** undefined when the load needed no compile, or did not get as far as one. */
function compileOutcome({ timings }: Load, error: GatewayError | undefined): string | undefined {
  if (timings.compile !== undefined) return 'compiled'
  return timings.fetch === undefined ? undefined : error?.code
}

/** A model that failed under other conditions may not fail under these. */
function judgedUnder({ artifact }: Config, ortVersion: string): { work: string; compile: string } {
  const { compileDeadlineMs, compileDeadlineMsPerMiB, checkMs, compileMemoryBytes, compileMemoryFactor } = artifact
  const limits = { compileDeadlineMs, compileDeadlineMsPerMiB, checkMs, compileMemoryBytes, compileMemoryFactor }
  const told = Object.entries(limits).map(([name, value]) => `${name}=${value}`)
  const work = `onnxruntime=${ortVersion}`
  return { work, compile: [work, ...told].join(' ') }
}
