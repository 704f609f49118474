/** The worker processes of one replica: the pool, the spare, and whoever watches, limits and replaces them. */
import { readMemoryPressure } from '../child/memory-pressure.ts'
import type { Spawn } from '../child/orphan-guard.ts'
import { readProcessStat } from '../child/process-stat.ts'
import type { Config } from '../config/schema.ts'
import type { Device } from '../domain/device.ts'
import { slotOf } from '../domain/worker-slot.ts'
import type { Clock } from '../lib/clock.ts'
import { Recycler } from '../replica/recycler.ts'
import type { Activities } from '../telemetry/activity.ts'
import type { ChildLines } from '../telemetry/child-lines.ts'
import type { EventLog } from '../telemetry/log.ts'
import { MemoryGuard } from '../worker/memory-guard.ts'
import { SpareWorker } from '../worker/spare-worker.ts'
import type { Worker } from '../worker/worker.ts'
import { WorkerPool } from '../worker/worker-pool.ts'
import type { DeviceWatch } from './device-watch.ts'
import { workerLimits } from './memory-limits.ts'
import type { ReplicaCounters } from './replica-metrics.ts'
import type { ReplicaRooms } from './replica-rooms.ts'
import { workerBooks } from './worker-books.ts'
import { WorkerVitals } from './worker-vitals.ts'

/** What every process here is made with. */
export interface ProcessBase {
  readonly config: Config
  readonly device: Device
  readonly clock: Clock
  readonly log: EventLog
  readonly childLines: ChildLines
  readonly spawn: Spawn
}

export interface WorkerProcessesOptions extends ProcessBase {
  readonly workerCount: number
  readonly memoryBytes: number
  /** Memory limit that this process and its children are under. */
  readonly limitBytes: number
  readonly maxMappings: number
  readonly rooms: ReplicaRooms
  readonly spare: SpareWorker
  /** Absent on the CPU. */
  readonly gpu: DeviceWatch | undefined
  readonly counters: ReplicaCounters
  readonly activities: Activities
}

export type WorkerProcesses = ReturnType<typeof workerProcesses>

/** The start of a process takes half a second of a core. */
const SPARE_REST_MS = 1000
/** Fewer requests than this are nobody's harm. */
const SERVING_PER_SECOND = 0.1
/** Of the mappings a worker may have: what closed models left of them before a fresh process takes over. */
const MAPPINGS_DRIFT_SHARE = 1 / 8
/** The process's own heaps come and go in some hundreds of mappings. */
const MIN_MAPPINGS_DRIFT = 2000

/** Starts nothing yet: its process comes up with the first suspect. */
export function spareWorker({ config, device, clock, log, childLines, spawn }: ProcessBase): SpareWorker {
  return new SpareWorker({
    clock,
    idleMs: config.worker.spareIdleMs,
    graceMs: config.worker.stopGraceMs,
    device,
    spawn,
    onLine: (id, line) => childLines.line(id, line),
    onUp: (worker) => log.event('worker.up', { worker: worker.id, pid: worker.pid }),
    onDown: (worker, exit) => {
      log.event('worker.down', { worker: worker.id, ...exit })
      childLines.end(worker.id)
    },
  })
}

/** Watching begins at once, the workers with `pool.start()`. */
export function workerProcesses(options: WorkerProcessesOptions) {
  const { config, device, clock, log, childLines, spawn, rooms, spare, gpu, counters, workerCount, maxMappings } =
    options
  const { worker: workerConfig } = config
  /** Slots whose process was replaced to serve another trust domain, until the next one is up. */
  const renewed = new Set<string>()
  const isIsolated = workerConfig.isolation !== 'shared'
  const pool = new WorkerPool({
    count: workerCount,
    device,
    maxAnswerBytes: config.server.maxAnswerBytes,
    clock,
    spawn,
    // On a GPU it would hold memory there for nothing.
    keepsSpare: isIsolated || gpu === undefined,
    // Where processes change hands all day the next one is wanted at once; after a crash the successor's first requests come first.
    spareRestMs: isIsolated ? 0 : SPARE_REST_MS,
    respawn: { baseMs: workerConfig.respawnBaseMs, maxMs: workerConfig.respawnMaxMs },
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
    limits: workerLimits(workerConfig, workerCount, options.memoryBytes, options.limitBytes),
    workers: () => [...pool.everyWorker, ...spare.workers],
    chargedBytes: (workerId) => rooms.placements.costOf(workerId).privateBytes,
    onOver: (worker, privateBytes) => log.event('worker.over-memory', { worker, privateBytes }),
  })
  const vitals = new WorkerVitals({
    clock,
    log,
    workers: () => pool.workers,
    readStat: readProcessStat,
    readPressure: readMemoryPressure,
    majorFaultsAlarm: workerConfig.majorFaultsAlarm,
    isServing: () => options.activities.all.rate.perSecond(clock.now()) > SERVING_PER_SECOND,
  })

  const recycler = new Recycler<Worker>({
    ...rooms,
    clock,
    pool,
    successorDown: (workerId) => rooms.workerDown(workerId),
    runLast: (worker) => worker.runLast(),
    measure: (worker, isThorough) => workerBooks(rooms, worker, isThorough),
    limits: {
      bytes: workerConfig.recycleDriftBytes,
      mappings: Math.max(MAPPINGS_DRIFT_SHARE * maxMappings, MIN_MAPPINGS_DRIFT),
    },
    pauseMs: workerConfig.recyclePauseMs,
    hotModels: workerConfig.recycleHotModels,
    openLimitMs: workerConfig.hangMs,
    stopGraceMs: workerConfig.stopGraceMs,
    onRecycled: ({ slot, ...facts }) => log.event('worker.recycled', { worker: slot, ...facts }),
    onFailed: (worker, reason, err) => log.event('worker.recycle-failed', { worker, reason, err }),
  })

  return {
    pool,
    vitals,
    recycler,
    /** A fresh process gives back all that the old one held; where there is no room for both at once, the old one goes first. */
    async replaceOnGpu(workerId: string): Promise<void> {
      const slot = slotOf(workerId)
      try {
        await recycler.recycle(slot, 'device memory')
      } catch {
        pool.workers.find((worker) => worker.slot === slot)?.kill('recycle')
      }
    },
    /**
     * A process in reserve takes the slot of one that is stuck. Where there is none, a start would take what the others need; where
     * workers are isolated the slot is the tenant's own, and a GPU has one process only.
     */
    async relieve(slot: string): Promise<void> {
      if (!isIsolated && gpu === undefined && pool.hasReserve) await recycler.relieve(slot)
    },
    /** Nothing is looked at or replaced any more; the workers go on. */
    rest(): void {
      guard.close()
      vitals.close()
      recycler.close()
    },
    /** Ends the processes, after `rest`. */
    async close(graceMs: number): Promise<void> {
      await Promise.all([pool.close(graceMs), spare.close(graceMs)])
    },
  }
}
