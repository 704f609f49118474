/**
 * `modelmux serve` wired together: one router and one replica in one process, workers and compilers beside it.
 * Start order: log, artifacts, registry (its scan goes on in the background), replica, HTTP. Stop is the way back: no new
 * requests, answer what is inside, then end the children.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { SharedArtifacts } from '../artifact/shared-artifacts.ts'
import { OrphanGuard } from '../child/orphan-guard.ts'
import type { Config } from '../config/schema.ts'
import { Pins } from '../control/pins.ts'
import { Rollouts } from '../control/rollout.ts'
import { parseModelRef } from '../domain/model-ref.ts'
import type { AdminSource } from '../http/admin-source.ts'
import { HttpServer } from '../http/server.ts'
import type { Clock } from '../lib/clock.ts'
import { systemClock, within } from '../lib/clock.ts'
import { detach } from '../lib/detach.ts'
import { FolderRegistry } from '../registry/folder-registry.ts'
import type { Gateway } from '../routing/gateway.ts'
import type { VersionDirectory } from '../routing/replica-client.ts'
import { Router } from '../routing/router.ts'
import { FolderStore } from '../store/folder-store.ts'
import { Activities } from '../telemetry/activity.ts'
import { ChildLines } from '../telemetry/child-lines.ts'
import { Journal } from '../telemetry/journal.ts'
import { JournaledLog } from '../telemetry/journaled-log.ts'
import type { LineLog } from '../telemetry/log.ts'
import { Log } from '../telemetry/log.ts'
import { METRICS_CONTENT_TYPE, Metrics } from '../telemetry/metrics.ts'
import type { ModelMetrics } from '../telemetry/model-metrics.ts'
import { observeProcess } from '../telemetry/process-metrics.ts'
import { RequestLog } from '../telemetry/request-log.ts'
import { RequestMetrics } from '../telemetry/request-metrics.ts'
import { TraceStarter } from '../telemetry/trace-context.ts'
import { probeDevice } from '../worker/device-probe.ts'
import { artifactOptions } from './artifact-options.ts'
import { chooseDevice } from './choose-device.ts'
import { connectionsWithin, readDescriptorLimit } from './descriptor-limit.ts'
import { eventSink } from './event-sink.ts'
import { observeHttp } from './http-metrics.ts'
import { observeModels } from './model-metrics.ts'
import type { RunningReplica } from './replica.ts'
import { startReplica } from './replica.ts'
import { replicaId } from './replica-id.ts'
import { Teardown } from './teardown.ts'
import type { Tracing } from './tracing.ts'
import { startTracing } from './tracing.ts'
import { version } from './version.ts'

export interface RunningServer {
  readonly url: string
  readonly port: number
  /** Drains and ends; `reason` is for the log. Idempotent. @returns false when requests were cut off */
  stop(reason: string): Promise<boolean>
}

/** What every part below is given. */
interface Base {
  readonly config: Config
  readonly clock: Clock
  readonly log: LineLog
  readonly journal: Journal
  readonly activities: Activities
  /** Absent = no metrics by model. */
  readonly modelMetrics: ModelMetrics | undefined
  readonly metrics: Metrics
  readonly teardown: Teardown
}

const LOG_BUFFER_BYTES = 4 * 2 ** 20
/** What reads the log may have stopped for good. */
const LOG_CLOSE_MS = 2000
/** In the cache folder, beside the artifacts. */
const JOURNAL_FOLDER = 'journal'
const JOURNAL_CLOSE_MS = 1000
const OVERVIEW_EVENTS = 50
/** Pins and rollouts are tried again for as long as they stand, at most this far apart. */
const RETRY = { baseMs: 1000, maxMs: 60_000 }
const NEVER = new AbortController().signal
const QUARANTINE_SWEEP_MS = 86_400_000

/** @throws ListenError, FolderInUseError and whatever else a start fails with; everything that was started is ended by then */
export async function startServe(config: Config, clock: Clock = systemClock): Promise<RunningServer> {
  const { logLevel: level, logFormat: format } = config.telemetry
  const lines = new Log({ level, format, fd: 2, maxBufferedBytes: LOG_BUFFER_BYTES })
  const journal = new Journal({ clock, log: lines, maxBytes: config.telemetry.journalBytes })
  const log = new JournaledLog(lines, journal)
  const metrics = new Metrics({ onReadError: (err) => log.event('metrics.reader-failed', { err }) })
  const teardown = new Teardown()
  teardown.add(async () => {
    await within(LOG_CLOSE_MS, clock, lines.close())
    lines.abandon()
  })
  metrics.observe('modelmux_log_lines_dropped_total', () => lines.dropped)
  metrics.observe('modelmux_journal_dropped_total', () => journal.dropped)
  try {
    log.event('process.started', { version, node: process.version, pid: process.pid })
    const activities = new Activities(clock)
    const modelMetrics = observeModels(metrics, config.telemetry.perModelMetrics, clock)
    const base = { config, clock, log, journal, activities, modelMetrics, metrics, teardown }
    return await startHttp(base, await startGateway(base))
  } catch (error) {
    await teardown.run()
    throw error
  }
}

/** What HTTP stands in front of. */
interface Behind {
  readonly running: RunningReplica
  readonly tracing: Tracing | undefined
  readonly gateway: Gateway
  /** Versions that the registry lists. */
  readonly registered: () => number
}

/** Everything behind HTTP. */
async function startGateway(base: Base): Promise<Behind> {
  const { config, clock, log, metrics, teardown } = base
  const { store, cache, model } = config
  const onEvent = eventSink(log)
  const childLines = new ChildLines(log, clock)
  const orphans = new OrphanGuard(clock)
  teardown.add(() => orphans.close())
  const { device, reason } = await chooseDevice(config.device.use, (one) =>
    probeDevice(one, { clock, onLine: (line) => childLines.line(`probe of ${one}`, line) }),
  )
  log.event('device.chosen', { device, wanted: config.device.use, reason })
  let filesDamaged = (_paths: readonly string[]): void => {}
  const artifacts = await SharedArtifacts.open({
    ...artifactOptions(config, device),
    onCorrupt: (paths) => filesDamaged(paths),
    version,
    clock,
    spawn: orphans.spawn,
    random: Math.random,
    // Of several processes on the folder, the one that owns it keeps the journal there.
    onOwned: () => base.journal.open(join(cache.dir, JOURNAL_FOLDER)),
    onDisowned: () => base.journal.close(JOURNAL_CLOSE_MS),
    onEvent,
    onLine: (pid, line) => childLines.line(`compiler-${pid}`, line),
  })
  teardown.add(() => artifacts.close())
  teardown.add(observeProcess(metrics, { version, onnxruntime: artifacts.ortVersion, device }))

  const registry = new FolderRegistry({ ...store, defaults: model, clock, onEvent })
  const folder = new FolderStore(store)
  const rollouts: Rollouts = new Rollouts({
    resolve: (ref) => registry.resolve(ref),
    aliasesOf: (name) => [...registry.aliasesOf(name).keys()],
    isResident: (key) => replica.stateOf(key).state === 'READY',
    load: (one) => replica.load(one, NEVER),
    retire: (key) => replica.retire(key),
    onMoved: () => pins.refresh(),
    retry: RETRY,
    clock,
    random: Math.random,
    onEvent,
  })
  teardown.add(() => rollouts.close())
  const id = await replicaId(cache.dir, artifacts.role === 'owner')
  const tracing = await startTracing(config.telemetry.traces, { clock, log, metrics, replica: id, random: Math.random })
  teardown.add(() => tracing?.close())
  const running = await startReplica({
    id,
    config,
    device,
    clock,
    artifacts,
    stage: (one, signal) => folder.stage(one, signal),
    log,
    metrics,
    childLines,
    spawn: orphans.spawn,
    activities: base.activities,
    loadSpans: tracing?.loads,
    keyOf: (name, number) => keyIn(registry, name, number),
    onResident: (one) => rollouts.watch(one),
    onGone: (one) => rollouts.forget(one),
    onReleased: (key) => rollouts.again(key),
  })
  const { replica, quarantine } = running
  filesDamaged = (paths) => running.filesDamaged(paths)
  // Runs before the artifacts close; a server that drained has stopped it already.
  teardown.add(() => running.stop(0))
  const pins: Pins = new Pins({
    refs: cache.pins.map(parseModelRef),
    resolve: (ref) => rollouts.resolve(ref),
    pin: (one) => replica.pin(one, NEVER),
    unpin: (key) => replica.unpin(key),
    retry: RETRY,
    clock,
    random: Math.random,
    onEvent,
  })
  teardown.add(() => pins.close())
  let isScanned = false
  const sweepQuarantine = () =>
    quarantine.sweep(({ model, key }) => registry.versionsOf(model).some((one) => one.key === key))
  detach(registry.initialScan.then(() => (isScanned = true)))
  detach(registry.initialScan.then(sweepQuarantine))
  const sweeping = clock.every(QUARANTINE_SWEEP_MS, sweepQuarantine)
  teardown.add(() => sweeping.cancel())
  registry.onChange((change) => {
    // Thousands that were there at the start are one event of the scan.
    if (isScanned && change.kind !== 'aliases') log.event(`model.${change.kind}`, { key: change.version.key })
    if (change.kind === 'changed' && change.previous.key === change.version.key) running.applySettings(change.version)
    else rollouts.refresh(change.version.name)
    if (registry.versionsOf(change.version.name).length === 0) base.modelMetrics?.forget(change.version.name)
    pins.refresh()
  })
  metrics.observe('modelmux_models_registered', () => registry.size.versions)
  metrics.observe('modelmux_registry_scan_seconds', () =>
    registry.lastScanMs === undefined ? undefined : registry.lastScanMs / 1000,
  )
  await registry.start()
  teardown.add(() => registry.close())

  const directory: VersionDirectory = {
    resolve: (ref) => rollouts.resolve(ref),
    versionsOf: (name) => registry.versionsOf(name),
    aliasesOf: (name) => Object.fromEntries(registry.aliasesOf(name)),
    names: () => registry.names(),
    list: () => registry.list(),
  }
  return { running, tracing, gateway: new Router(directory, replica), registered: () => registry.size.versions }
}

async function startHttp(base: Base, { running, tracing, gateway, registered }: Behind): Promise<RunningServer> {
  const { config, clock, log, journal, activities, modelMetrics, metrics, teardown } = base
  const { server, scheduler, telemetry } = config
  const startedAt = clock.now()
  const admin: AdminSource = {
    async overview(top) {
      const { models, ...rest } = await running.overview(top)
      return {
        server: {
          version,
          replica: running.replica.id,
          uptimeSeconds: (clock.now() - startedAt) / 1000,
          isDraining: http.isDraining,
          requestsInFlight: http.inFlight,
        },
        ...rest,
        models: { registered: registered(), ...models },
        events: journal.read(0, OVERVIEW_EVENTS),
      }
    },
    events: (since, limit) => journal.read(since, limit),
    lastEvent: () => journal.lastSeq,
  }
  const requestMetrics = new RequestMetrics(metrics)
  const requestLog = new RequestLog(log, { requestLogSample: telemetry.requestLogSample, random: Math.random })
  const maxConnections = connectionsWithin(await readDescriptorLimit(), server.maxConnections)
  if (maxConnections < server.maxConnections)
    log.event('server.connections-capped', { wanted: server.maxConnections, allowed: maxConnections })
  const http: HttpServer = new HttpServer(
    { ...server, maxConnections, maxReceivingBytes: scheduler.maxQueuedBytes },
    {
      gateway,
      clock,
      log,
      observer: {
        requestDone(summary) {
          requestMetrics.requestDone(summary)
          activities.requestDone(summary)
          modelMetrics?.requestDone(summary)
          requestLog.requestDone(summary)
          tracing?.requests.requestDone(summary)
        },
      },
      metrics: telemetry.metrics ? { contentType: METRICS_CONTENT_TYPE, render: () => metrics.render() } : undefined,
      traces: new TraceStarter({
        isOn: tracing !== undefined,
        sample: telemetry.traces.sample,
        random: Math.random,
      }),
      admin: telemetry.overview === 'off' ? undefined : admin,
      version,
      random: Math.random,
      bootId: randomBytes(6).toString('base64url'),
    },
  )
  observeHttp(metrics, http)
  const port = await http.listen(server)
  const host = server.host.includes(':') ? `[${server.host}]` : server.host
  const url = `http://${host}:${port}`
  log.event('server.listening', { url })

  const stop = async (reason: string): Promise<boolean> => {
    log.event('server.draining', { reason, inFlight: http.inFlight })
    const isAnswered = await http.drain(server.drainTimeoutMs)
    // Whoever was cut off is not waited for a second time.
    const isWhole = (await running.stop(isAnswered ? server.drainTimeoutMs : 0)) && isAnswered
    log.event('server.closed', { isWhole })
    log.event('process.stopped', { reason })
    await teardown.run()
    return isWhole
  }
  let stopped: Promise<boolean> | undefined
  return { url, port, stop: (reason) => (stopped ??= stop(reason)) }
}

/** Undefined when the registry does not have the version, or not yet. */
function keyIn(registry: FolderRegistry, name: string, number: string): string | undefined {
  return registry.versionsOf(name).find((one) => one.version === number)?.key
}
