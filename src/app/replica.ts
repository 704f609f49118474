/** Starts one replica of this process: the budget, its rooms, its worker processes, what watches them; and stops it. */
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { QuarantineFolder } from '../artifact/quarantine-folder.ts'
import type { SharedArtifacts } from '../artifact/shared-artifacts.ts'
import { memoryLimitBytes } from '../child/memory.ts'
import { readGpuMemory } from '../child/nvidia-smi.ts'
import type { Config } from '../config/schema.ts'
import { deviceIndex, isGpu } from '../domain/device.ts'
import type { FetchProgress } from '../domain/fetch-progress.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import { detach } from '../lib/detach.ts'
import type { StagedSource } from '../replica/loads.ts'
import { compileSource } from '../replica/loads.ts'
import { Prober } from '../replica/prober.ts'
import type { Quarantine } from '../replica/quarantine.ts'
import { Rechecker } from '../replica/rechecker.ts'
import type { Replica } from '../replica/replica.ts'
import type { Activities } from '../telemetry/activity.ts'
import type { LoadSpans } from '../telemetry/load-spans.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { DeviceWatch, deviceBudgetBytes } from './device-watch.ts'
import { budgetBytes, systemMappings } from './memory-limits.ts'
import type { ReplicaOverview } from './overview.ts'
import { replicaOverview } from './overview.ts'
import { PinReader } from './pin-reader.ts'
import { observeReplica } from './replica-metrics.ts'
import type { ProcessBase, WorkerProcesses } from './replica-processes.ts'
import { spareWorker, workerProcesses } from './replica-processes.ts'
import type { ReplicaRooms } from './replica-rooms.ts'
import { replicaRooms } from './replica-rooms.ts'
import { replicaWatch } from './replica-watch.ts'

export interface ReplicaDeps extends ProcessBase {
  readonly id: string
  readonly artifacts: SharedArtifacts
  readonly stage: (version: ModelVersion, signal?: AbortSignal) => Promise<StagedSource>
  /** The version with the settings that it has by now. */
  readonly current: (version: ModelVersion) => ModelVersion
  /** Of a version whose files are being fetched, by its key. */
  readonly progressOf: (key: string) => FetchProgress | undefined
  /** Of all fetched sources on the disk; undefined where none are fetched. */
  readonly stagedBytes: () => Promise<number | undefined>
  readonly metrics: Metrics
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

/** Resolves when all workers are up. */
export async function startReplica(deps: ReplicaDeps): Promise<RunningReplica> {
  const { config, device, clock, artifacts, log, metrics } = deps
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
    recheck: async (version, request) => {
      const staged = await deps.stage(version)
      try {
        return await artifacts.recheck(compileSource(staged, version), request)
      } finally {
        staged.release()
      }
    },
    onFailed: (version, err) => log.event('artifact.recheck-failed', { key: version.key, err }),
    onChecked: (version, manifest) => {
      log.event('artifact.rechecked', { key: version.key, form: manifest.form, check: manifest.check })
      rooms.applyManifest(version, manifest)
    },
  })
  const spare = spareWorker(deps)
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
    current: deps.current,
    progressOf: deps.progressOf,
    blame: {
      spare,
      records,
      initial: await records.read(),
      conditions: judgedUnder(config, artifacts.ortVersion),
      verify: (artifact) => artifacts.verify(artifact),
    },
    random: Math.random,
    watch: replicaWatch({
      ...deps,
      counters,
      prober: config.artifact.probe ? prober : undefined,
      rechecker,
      versionOf: (key) => rooms.residents.get(key)?.version,
      onDeviceExhausted: (workerId) => detach(processes.replaceOnGpu(workerId)),
      onStuck: (slot) => detach(processes.relieve(slot)),
    }),
  })
  const { table, residents, quarantine } = rooms
  const processes: WorkerProcesses = workerProcesses({
    ...deps,
    workerCount,
    memoryBytes,
    limitBytes,
    maxMappings,
    rooms,
    spare,
    gpu,
    counters,
  })
  const { pool, vitals, recycler } = processes
  const pinReader = new PinReader({
    clock,
    everyMs: config.cache.pinRereadMs,
    pinned: () => [...residents].filter(([key]) => table.isPinned(key)).map(([, { manifest }]) => manifest),
    pageIn: (manifest) => artifacts.pageIn(manifest),
  })

  function newDeviceWatch(): DeviceWatch {
    return new DeviceWatch({
      device,
      log,
      onChange: (lost) => rooms.replica.setDeviceLost(lost),
      readMemory: () => readGpuMemory(deviceIndex(device)),
    })
  }

  let stopped: Promise<boolean> | undefined
  async function stop(timeoutMs: number): Promise<boolean> {
    prober.close()
    pinReader.close()
    processes.rest()
    const isWhole = await rooms.stop(timeoutMs)
    await processes.close(workerConfig.stopGraceMs)
    return isWhole
  }

  counters.observe({ ...rooms, pool, recycler, artifacts, stagedBytes: deps.stagedBytes, vitals, gpu })
  await pool.start().catch(async (error: unknown) => {
    pinReader.close()
    processes.rest()
    await processes.close(0)
    throw error
  })
  return {
    replica: rooms.replica,
    recycle: async (slot, reason) => void (await recycler.recycle(slot, reason)),
    quarantine,
    applySettings: (version) => rooms.applySettings(version),
    overview: (top) => replicaOverview({ ...deps, rooms, pool, vitals }, top),
    filesDamaged: (paths) => rooms.damage.found(paths),
    stop: (timeoutMs) => (stopped ??= stop(timeoutMs)),
  }
}

/** A model that failed under other conditions may not fail under these. */
function judgedUnder({ artifact }: Config, ortVersion: string): { work: string; compile: string } {
  const { compileDeadlineMs, compileDeadlineMsPerMiB, checkMs, compileMemoryBytes, compileMemoryFactor } = artifact
  const limits = { compileDeadlineMs, compileDeadlineMsPerMiB, checkMs, compileMemoryBytes, compileMemoryFactor }
  const told = Object.entries(limits).map(([name, value]) => `${name}=${value}`)
  const work = `onnxruntime=${ortVersion}`
  return { work, compile: [work, ...told].join(' ') }
}
