/** Row 12: the host's OOM killer takes a worker. */
import { kill } from 'node:process'
import { errorCount } from '../../generator/plan.ts'
import { workerPids } from '../../measure/server-processes.ts'
import { tailOf } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'

const STEADY_MODELS = 20
const WORKERS = 2
const SETTLE_MS = 1000
/** Only what ran in the worker at that moment may fail, which is one hand-over. */
const MAX_LOST = 3

export const killedWorker: FaultRow = {
  number: 12,
  fault: "the host's OOM killer takes a worker",
  injected: 'SIGKILL of one of two workers under 200 requests a second',
  expected: 'the parent lives, at most what ran there fails, a successor is up',
  limitSeconds: 3,
  async run(stage) {
    const expect = new Expectations()
    const steady = await stage.writeSteady(STEADY_MODELS)
    const running = await stage.serve({ args: ['--workers', String(WORKERS)] })
    const { server, probe } = running
    await stage.touchAll(running, steady)
    const { value, report } = await stage.besideSteady(
      running,
      steady,
      async () => {
        await stage.pause(SETTLE_MS)
        const [victim] = await workerPids(server.pid)
        if (victim === undefined) throw new Error('the server has no worker')
        kill(victim, 'SIGKILL')
        const isBack = async (): Promise<boolean> => {
          const pids = await workerPids(server.pid)
          return !pids.includes(victim) && (await probe.metrics()).sum('modelmux_worker_up') === WORKERS
        }
        const seconds = await stage.secondsUntil('a successor', 30, isBack)
        await stage.pause(SETTLE_MS)
        return seconds
      },
      200,
    )
    const lost = errorCount(report)
    expect.equal('wrong answers', report.wrong, 0)
    expect.that(lost <= MAX_LOST, `${lost} requests failed, at most ${MAX_LOST} can have run: ${report.firstProblem}`)
    expect.that(
      Object.keys(report.errors).every((kind) => kind === 'status 500'),
      `errors ${JSON.stringify(report.errors)}`,
    )
    const measured = `until the successor is up; ${lost} of ${report.answered + lost} requests failed, ${tailOf(report)}`
    return { seconds: value, measured, problems: expect.problems }
  },
}
