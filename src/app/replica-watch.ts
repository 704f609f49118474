/** What logs, metrics, traces and the checks in the background learn of a replica. */
import type { CacheEvent } from '../cache/entry-table.ts'
import type { GatewayError } from '../domain/errors.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { Load } from '../replica/loads.ts'
import type { Prober } from '../replica/prober.ts'
import type { Rechecker } from '../replica/rechecker.ts'
import type { LoadSpans } from '../telemetry/load-spans.ts'
import type { EventLog } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { blameWatch } from './blame-watch.ts'
import type { ReplicaCounters } from './replica-metrics.ts'
import type { ReplicaWatch } from './replica-rooms.ts'

export interface ReplicaWatchOptions {
  readonly log: EventLog
  readonly metrics: Metrics
  readonly counters: ReplicaCounters
  /** Absent = loads are not traced. */
  readonly loadSpans: LoadSpans | undefined
  /** Absent = new artifacts are not measured. */
  readonly prober: Prober | undefined
  readonly rechecker: Rechecker
  /** The version of a key that is in memory. */
  readonly versionOf: (key: string) => ModelVersion | undefined
  /** A version became resident, or ceased to be. */
  readonly onResident: (version: ModelVersion) => void
  readonly onGone: (version: ModelVersion) => void
  /** A key is not refused any more. */
  readonly onReleased: (key: string) => void
  /** A worker ran out of the GPU's memory again and again. */
  readonly onDeviceExhausted: (workerId: string) => void
  readonly onStuck: (slot: string) => void
}

export function replicaWatch(options: ReplicaWatchOptions): ReplicaWatch {
  const { log, metrics, counters, loadSpans, prober, rechecker } = options
  return {
    ...blameWatch(log, metrics, options.onReleased),
    onCacheEvent: (event) => onCacheEvent(options, event),
    ...(loadSpans !== undefined && { onWait: (key, span) => loadSpans.waits(key, span) }),
    onLoadEnded: (version, load, error) => onLoadEnded(options, version, load, error),
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
    onDeviceExhausted: (workerId) => options.onDeviceExhausted(workerId),
    onStuck: (slot) => options.onStuck(slot),
    onHandedBack: (resident, { runs, answers }, requests) => {
      counters.runs.add(runs)
      if (resident === undefined || runs === 0) return
      const { version, manifest } = resident
      prober?.note(version, manifest)
      if (answers[0]?.ok === true) rechecker.note(version, manifest, requests[0]?.content)
    },
  }
}

function onLoadEnded(
  { log, counters, loadSpans }: ReplicaWatchOptions,
  version: ModelVersion,
  load: Load,
  error: GatewayError | undefined,
): void {
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
}

/** undefined when the load needed no compile, or did not get as far as one. */
function compileOutcome({ timings }: Load, error: GatewayError | undefined): string | undefined {
  if (timings.compile !== undefined) return 'compiled'
  return timings.fetch === undefined ? undefined : error?.code
}

function onCacheEvent({ log, counters, ...options }: ReplicaWatchOptions, event: CacheEvent): void {
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
    const version = options.versionOf(event.key)
    if (version === undefined) return
    if (event.to === 'ready') options.onResident(version)
    if (event.from === 'ready') options.onGone(version)
  }
}
