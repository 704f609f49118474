/**
 * `modelmux serve` wired together: one router and one replica in one process, workers and compilers beside it.
 * Start order: log, artifacts, registry (its scan goes on in the background), replica, HTTP. Stop is the way back: no new
 * requests, answer what is inside, then end the children.
 */
import type { Config } from '../config/schema.ts'
import type { Clock } from '../lib/clock.ts'
import { systemClock, within } from '../lib/clock.ts'
import { Activities } from '../telemetry/activity.ts'
import { Journal } from '../telemetry/journal.ts'
import { JournaledLog } from '../telemetry/journaled-log.ts'
import { Log } from '../telemetry/log.ts'
import { Metrics } from '../telemetry/metrics.ts'
import { startGateway } from './gateway.ts'
import type { RunningServer } from './http.ts'
import { startHttp } from './http.ts'
import { observeModels } from './model-metrics.ts'
import type { ServerBase } from './server-base.ts'
import { Teardown } from './teardown.ts'
import { version } from './version.ts'

const LOG_BUFFER_BYTES = 4 * 2 ** 20
/** What reads the log may have stopped for good. */
const LOG_CLOSE_MS = 2000

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
    const base: ServerBase = { config, clock, log, journal, activities, modelMetrics, metrics, teardown }
    return await startHttp(base, await startGateway(base))
  } catch (error) {
    await teardown.run()
    throw error
  }
}
