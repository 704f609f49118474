/**
 * `modelmux serve` wired together: one router and one replica in one process, workers and compilers beside it.
 * Start order: log, artifacts, registry (its scan goes on in the background), replica, HTTP. Stop is the way back: no new
 * requests, answer what is inside, then end the children.
 */
import { randomBytes } from 'node:crypto'
import { ArtifactStore } from '../artifact/artifact-store.ts'
import type { Config } from '../config/schema.ts'
import { Pins } from '../control/pins.ts'
import { Rollouts } from '../control/rollout.ts'
import { parseModelRef } from '../domain/model-ref.ts'
import { HttpServer } from '../http/server.ts'
import type { Clock } from '../lib/clock.ts'
import { systemClock } from '../lib/clock.ts'
import { FolderRegistry } from '../registry/folder-registry.ts'
import type { VersionDirectory } from '../routing/replica-client.ts'
import { Router } from '../routing/router.ts'
import { FolderStore } from '../store/folder-store.ts'
import { ChildLines } from '../telemetry/child-lines.ts'
import { Log } from '../telemetry/log.ts'
import { Metrics, METRICS_CONTENT_TYPE } from '../telemetry/metrics.ts'
import { observeProcess } from '../telemetry/process-metrics.ts'
import { RequestLog } from '../telemetry/request-log.ts'
import { RequestMetrics } from '../telemetry/request-metrics.ts'
import { artifactOptions } from './artifact-options.ts'
import { eventSink } from './event-sink.ts'
import { startReplica } from './replica.ts'
import { replicaId } from './replica-id.ts'
import { version } from './version.ts'

export interface RunningServer {
  readonly url: string
  readonly port: number
  /** Drains and ends; `reason` is for the log. Idempotent. @returns false when requests were cut off */
  stop(reason: string): Promise<boolean>
}

const LOG_BUFFER_BYTES = 16 * 2 ** 20
const NEVER = new AbortController().signal

/** @throws ListenError; everything that was started is ended by then */
export async function startServe(config: Config, clock: Clock = systemClock): Promise<RunningServer> {
  const { server, store, cache, model, telemetry } = config
  const log = new Log({
    level: telemetry.logLevel,
    format: telemetry.logFormat,
    fd: 2,
    maxBufferedBytes: LOG_BUFFER_BYTES,
  })
  const onEvent = eventSink(log)
  const closers: (() => Promise<unknown> | void)[] = [() => log.close()]
  const closeAll = async () => {
    for (let close = closers.pop(); close !== undefined; close = closers.pop()) await close()
  }
  try {
    log.event('process.started', { version, node: process.version, pid: process.pid })
    const metrics = new Metrics({ onReadError: (err) => log.event('metrics.reader-failed', { err }) })
    const childLines = new ChildLines(log, clock)
    const artifacts = await ArtifactStore.open({
      ...artifactOptions(config),
      clock,
      onEvent,
      onLine: (pid, line) => childLines.line(`compiler-${pid}`, line),
    })
    closers.push(() => artifacts.close())
    closers.push(observeProcess(metrics, { version, onnxruntime: artifacts.ortVersion }))

    const registry = new FolderRegistry({ ...store, defaults: model, clock, onEvent })
    const folderStore = new FolderStore(store)
    const rollouts: Rollouts = new Rollouts({
      resolve: (ref) => registry.resolve(ref),
      aliasesOf: (name) => [...registry.aliasesOf(name).keys()],
      isResident: (key) => replica.stateOf(key).state === 'READY',
      load: (one) => replica.load(one, NEVER),
      retire: (key) => replica.retire(key),
      onEvent,
    })
    const running = await startReplica({
      id: await replicaId(cache.dir),
      config,
      clock,
      artifacts,
      stage: (one) => folderStore.stage(one),
      log,
      metrics,
      childLines,
      onResident: (one) => rollouts.watch(one),
      onGone: (one) => rollouts.forget(one),
    })
    const { replica } = running
    const pins = new Pins({
      refs: cache.pins.map(parseModelRef),
      resolve: (ref) => rollouts.resolve(ref),
      pin: (one) => replica.pin(one, NEVER),
      unpin: (key) => replica.unpin(key),
      retry: { baseMs: 1000, maxMs: 60_000 },
      clock,
      random: Math.random,
      onEvent,
    })
    closers.push(() => pins.close())
    registry.onChange((change) => {
      if (change.kind === 'changed' && change.previous.key === change.version.key) running.applySettings(change.version)
      else rollouts.refresh(change.version.name)
      pins.refresh()
    })
    metrics.observe('modelmux_models_registered', () => registry.size.versions)
    await registry.start()
    closers.push(() => registry.close())

    const directory: VersionDirectory = {
      resolve: (ref) => rollouts.resolve(ref),
      versionsOf: (name) => registry.versionsOf(name),
      aliasesOf: (name) => Object.fromEntries(registry.aliasesOf(name)),
      names: () => registry.names(),
      list: () => registry.list(),
    }
    const inspect = async (one: Parameters<typeof folderStore.stage>[0], signal: AbortSignal) => {
      const manifest = artifacts.find(one.sourceId)
      if (manifest === undefined)
        return { signature: await artifacts.inspect({ tenant: one.tenant, ...(await folderStore.stage(one, signal)) }) }
      const { signature, form, plainReason, probe } = manifest
      const artifact = {
        form,
        ...(plainReason !== undefined && { plainReason }),
        ...(probe !== undefined && { isBatchSafe: probe.isBatchSafe, batchReason: probe.batchReason }),
      }
      return { signature, artifact }
    }
    const requestMetrics = new RequestMetrics(metrics)
    const requestLog = new RequestLog(log, { requestLogSample: telemetry.requestLogSample, random: Math.random })
    const http = new HttpServer(
      { ...server, maxReceivingBytes: config.scheduler.maxQueuedBytes },
      {
        gateway: new Router(directory, Object.assign(replica, { inspect })),
        clock,
        log,
        observer: {
          requestDone(summary) {
            requestMetrics.requestDone(summary)
            requestLog.requestDone(summary)
          },
        },
        metrics: telemetry.metrics ? { contentType: METRICS_CONTENT_TYPE, render: () => metrics.render() } : undefined,
        version,
        random: Math.random,
        bootId: randomBytes(6).toString('base64url'),
      },
    )
    metrics.observe('modelmux_requests_in_flight', () => http.inFlight)
    const port = await http.listen(server).catch(async (error: unknown) => {
      await running.stop(0)
      throw error
    })
    const url = `http://${server.host.includes(':') ? `[${server.host}]` : server.host}:${port}`
    log.event('server.listening', { url })

    let stopped: Promise<boolean> | undefined
    const stop = async (reason: string): Promise<boolean> => {
      log.event('server.draining', { reason, inFlight: http.inFlight })
      const isAnswered = await http.drain(server.drainTimeoutMs)
      const isWhole = (await running.stop(isAnswered ? server.drainTimeoutMs : 0)) && isAnswered
      log.event('server.closed', { isWhole })
      log.event('process.stopped', { reason })
      await closeAll()
      return isWhole
    }
    return { url, port, stop: (reason) => (stopped ??= stop(reason)) }
  } catch (error) {
    await closeAll()
    throw error
  }
}
