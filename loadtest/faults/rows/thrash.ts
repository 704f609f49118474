/** Row 35: more models are asked for than fit, all alike often. */

import { generateLoad } from '../../generator/load-generator.ts'
import { errorCount } from '../../generator/plan.ts'
import { pairedRatio } from '../../measure/statistics.ts'
import { Expectations, type FaultRow } from '../fault.ts'
import { nameIn } from '../stage.ts'

const HOT_MODELS = 10
const HOT_RPS = 100
const CROWD = 200
const CROWD_RPS = 150
/** 36 of the crowd's 200 models of 5 MB fit. */
const MEMORY = '192MiB'
const STRETCHES = 5
const QUICK_STRETCHES = 2
const STRETCH_MS = 5000
/** p99 of the hot models, of what it was without the crowd. */
const MAX_RATIO = 2

export const thrash: FaultRow = {
  number: 35,
  fault: 'more is asked for than fits',
  injected: `${CROWD} models of 5 MB at ${CROWD_RPS} requests a second, all alike often, with room for some 36, beside ${HOT_MODELS} hot ones`,
  expected: `the hot ones stay and their p99 within ${MAX_RATIO} x of what it is without; the crowd is answered or told when to come back`,
  // A ratio has no limit in seconds: what is bounded is the longest that a request of the crowd waits for its answer or refusal.
  limitSeconds: 10,
  async run(stage) {
    const expect = new Expectations()
    const hot = await stage.writeSteady(HOT_MODELS)
    const crowd = { ...hot, className: 'S' as const, customers: CROWD, prefix: 'crowd', seed: hot.seed + 1 }
    stage.progress('writing models')
    await stage.writeGroup(crowd)
    const running = await stage.serve({ awaits: nameIn('crowd', CROWD), args: ['--memory', MEMORY] })
    const { server, probe } = running
    stage.progress('first touches')
    await stage.touchAll(running, crowd)
    await stage.touchAll(running, hot)
    const alone: number[] = []
    const beside: number[] = []
    let slowest = 0
    let loads = 0
    let refused = 0
    let answered = 0
    let seconds = 0
    const stretches = stage.isQuick ? QUICK_STRETCHES : STRETCHES
    for (let i = 0; i < stretches; i += 1) {
      stage.progress(`stretch ${i + 1} of ${stretches}`)
      const calm = await stage.besideSteady(running, hot, () => stage.pause(STRETCH_MS), HOT_RPS)
      alone.push(calm.report.latency.p99)
      const plan = { ...stage.loadPlan(server.target, crowd, CROWD_RPS), seconds: STRETCH_MS / 1000 }
      const { value, report } = await stage.besideSteady(
        running,
        hot,
        () => generateLoad(plan, { signal: stage.signal }),
        HOT_RPS,
      )
      beside.push(report.latency.p99)
      expect.equal('errors of hot models', errorCount(report), 0)
      expect.equal('wrong answers', report.wrong + value.wrong, 0)
      const other = Object.keys(value.errors).filter((kind) => kind !== 'status 503' && kind !== 'status 507')
      expect.equal('errors of the crowd other than 503 and 507', other.join(', '), '')
      slowest = Math.max(slowest, value.latency.max / 1000)
      loads += value.answered - (value.cache.hit ?? 0)
      refused += errorCount(value)
      answered += value.answered
      seconds += value.seconds
    }
    const ratio = pairedRatio(beside, alone).median
    expect.that(ratio <= MAX_RATIO, `p99 of the hot models is ${ratio.toFixed(2)} x of what it is alone`)
    const age = (await probe.metrics()).sum('modelmux_evictions_total')
    const measured = `the slowest answer to the crowd; p99 of the hot ones ${ratio.toFixed(2)} x (${beside.map((ms) => ms.toFixed(0)).join(', ')} against ${alone.map((ms) => ms.toFixed(0)).join(', ')} ms), ${Math.round(loads / seconds)} loads/s, ${answered} of the crowd answered, ${refused} refused, ${age} evictions`
    return { seconds: slowest, measured, problems: expect.problems }
  },
}
