/** Row 47: nobody takes the logs and traces. */
import { createServer } from 'node:net'
import { expectUntouched, tailOf } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'

const STEADY_MODELS = 10
const RPS = 500
const STRETCH_MS = 5000
const QUICK_STRETCH_MS = 2000
/** Answers a request may take while its log line goes nowhere. */
const MAX_P99_MS = 250

export const blockedSinks: FaultRow = {
  number: 47,
  fault: 'nobody takes the logs',
  injected: `standard error is a pipe that nobody reads, at ${RPS} requests a second with every request logged`,
  expected: 'no request waits for a log line; what cannot be written is dropped',
  limitSeconds: MAX_P99_MS / 1000,
  async run(stage) {
    const expect = new Expectations()
    const steady = await stage.writeSteady(STEADY_MODELS)
    const sink = await silentServer()
    stage.afterwards(() => sink.close())
    const running = await stage.serve({ launch: { readsLog: false } })
    await stage.touchAll(running, steady)
    const act = (): Promise<void> => stage.pause(stage.isQuick ? QUICK_STRETCH_MS : STRETCH_MS)
    const { report } = await stage.besideSteady(running, steady, act, RPS)
    expectUntouched(expect, report)
    const seconds = report.latency.p99 / 1000
    const dropped = (await running.probe.metrics()).sum('modelmux_log_lines_dropped_total')
    const measured = `p99; ${report.answered} answered, ${dropped} log lines dropped, ${tailOf(report)}`
    return { seconds, measured, problems: expect.problems }
  },
}

/** Accepts connections and never says anything. */
async function silentServer(): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer(() => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return { port, close: () => new Promise((resolve) => server.close(() => resolve())) }
}
