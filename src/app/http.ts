/** HTTP in front of a gateway: who observes its requests, what its admin routes tell, and how both end. */
import { randomBytes } from 'node:crypto'
import type { AdminSource } from '../http/admin-source.ts'
import { HttpServer } from '../http/server.ts'
import { METRICS_CONTENT_TYPE } from '../telemetry/metrics.ts'
import { RequestLog } from '../telemetry/request-log.ts'
import { RequestMetrics } from '../telemetry/request-metrics.ts'
import { TraceStarter } from '../telemetry/trace-context.ts'
import { connectionsWithin, readDescriptorLimit } from './descriptor-limit.ts'
import type { RunningGateway } from './gateway.ts'
import { observeHttp } from './http-metrics.ts'
import type { ServerBase } from './server-base.ts'
import { version } from './version.ts'

export interface RunningServer {
  readonly url: string
  readonly port: number
  /** Drains and ends; `reason` is for the log. Idempotent. @returns false when requests were cut off */
  stop(reason: string): Promise<boolean>
}

const OVERVIEW_EVENTS = 50

export async function startHttp(
  base: ServerBase,
  { running, tracing, gateway, registered }: RunningGateway,
): Promise<RunningServer> {
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
