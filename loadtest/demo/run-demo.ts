/**
 * The demo from start to end: writes the models that are missing, starts `modelmux serve` on them, prints a line to try, drives traffic
 * where that was asked for, and drains the server when it is told to stop.
 */
import { join } from 'node:path'
import { pause, systemClock } from '../../src/lib/clock.ts'
import { HttpProbe } from '../bench/http-probe.ts'
import { ServerProcess } from '../bench/server-process.ts'
import { generateLoad } from '../generator/load-generator.ts'
import { errorCount, type LoadPlan } from '../generator/plan.ts'
import { modelClass, modelName, writeFolder } from '../models/index.ts'
import { formatNumber } from '../report/format.ts'
import { ProgressLine, progressBar, type TextSink } from '../report/progress-line.ts'
import { curlLine } from './curl-line.ts'
import { LiveTable } from './live-table.ts'
import type { DemoOptions } from './options.ts'

const SEED = 1
const FEATURES = 64
const SCAN_LIMIT_MS = 60_000
const CONNECTIONS = 16
const ZIPF_EXPONENT = 1.1
/** Without --seconds, traffic ends after a day at the latest. */
const LONGEST_SECONDS = 86_400

export interface DemoStreams {
  readonly out: TextSink
  /** Progress and whatever is not the demo's own output. */
  readonly err: TextSink
}

/** Resolves when everything is down again, with the exit code. `signal` asks it to stop. */
export async function runDemo(options: DemoOptions, { out, err }: DemoStreams, signal: AbortSignal): Promise<number> {
  const models = join(options.folder, 'models')
  await writeModels(models, options.models, err)
  const server = await ServerProcess.serve({
    args: ['--models', models, '--cache', join(options.folder, 'cache')],
    port: options.port,
    log: options.showsLog ? 'inherit' : 'ignore',
  })
  const probe = new HttpProbe(server.target)
  const stopped = new AbortController()
  const stop = AbortSignal.any([signal, stopped.signal])
  const ended = server.exited.then((exit) => {
    stopped.abort()
    return exit
  })
  try {
    await probe.awaitReady(modelName(options.models), SCAN_LIMIT_MS, stop)
    out.write(`listening on ${server.url}\n${introduction(server.url, options)}`)
    if (options.hasTraffic) await driveTraffic(options, server, probe, out, stop)
    else await stayUp(options.seconds, stop)
  } catch (error) {
    if (!stop.aborted) throw error
  } finally {
    probe.close()
  }
  const died = !signal.aborted && stopped.signal.aborted
  if (died) err.write(`the server ended by itself:\n${server.lastLines.join('\n')}\n`)
  await server.stop()
  const exit = await ended
  return died || exit !== 0 ? 1 : 0
}

async function writeModels(folder: string, customers: number, err: TextSink): Promise<void> {
  const line = new ProgressLine(err)
  const set = { family: 'head', seed: SEED, customers } as const
  await writeFolder(folder, modelClass('XS'), set, ({ done, total }) => {
    // A line of its own for each percent would be too much where nothing can be written over.
    if (err.isTTY === true || done === total) line.show(`${total} customers' models ${progressBar(done, total)}`)
  })
  if (err.isTTY === true) err.write('\n')
}

function introduction(url: string, { models, hasTraffic }: DemoOptions): string {
  const customer = Math.min(42, models)
  const { model, command, expected } = curlLine(
    url,
    modelClass('XS'),
    { customer, family: 'head', seed: SEED },
    FEATURES,
  )
  return [
    '',
    `${models} models, one endpoint. Ask for the one of ${model}:`,
    '',
    command,
    '',
    'Expected, computed here from that customer’s weights ("data" of the answer, to five digits):',
    `[${expected.join(', ')}]`,
    '',
    hasTraffic ? 'Zipf traffic over all models; Ctrl-C ends it.' : 'Ctrl-C drains the server and ends the demo.',
    '',
  ].join('\n')
}

async function driveTraffic(
  options: DemoOptions,
  server: ServerProcess,
  probe: HttpProbe,
  out: TextSink,
  signal: AbortSignal,
): Promise<void> {
  const table = new LiveTable(out)
  let isReading = false
  const report = await generateLoad(trafficPlan(options, server), {
    signal,
    onProgress(progress) {
      // One look at a time; a server too busy for its metrics skips a row rather than queue them.
      if (isReading) return
      isReading = true
      probe.metrics().then(
        (metrics) => {
          table.add(progress, metrics)
          isReading = false
          return undefined
        },
        () => {
          isReading = false
        },
      )
    },
  })
  table.end()
  const { answered, wrong, seconds, rps, firstProblem } = report
  out.write(
    `\n${answered} right answers in ${formatNumber(seconds)} s (${formatNumber(rps)} per second), ${wrong} wrong, ${errorCount(report)} errors\n`,
  )
  if (firstProblem !== undefined) out.write(`first problem: ${firstProblem}\n`)
}

async function stayUp(seconds: number | undefined, signal: AbortSignal): Promise<void> {
  // The server's pipes keep this process alive; the timer alone would not.
  await pause(systemClock, (seconds ?? LONGEST_SECONDS) * 1000, signal)
}

function trafficPlan({ models, seconds }: DemoOptions, server: ServerProcess): LoadPlan {
  return {
    target: server.target,
    groups: [{ className: 'XS', family: 'head', seed: SEED, customers: models }],
    encoding: 'json',
    rows: 1,
    inputsPerModel: 1,
    popularity: { kind: 'zipf', exponent: ZIPF_EXPONENT },
    pace: { kind: 'closed', connections: CONNECTIONS },
    seed: SEED,
    warmUpSeconds: 0,
    seconds: seconds ?? LONGEST_SECONDS,
    maxRequests: Number.MAX_SAFE_INTEGER,
    timeoutMs: 30_000,
    check: 'all',
    progressMs: 1000,
  }
}
