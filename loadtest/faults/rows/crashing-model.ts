/** Row 9: a model whose run brings its process down. */
import { inferBody } from '../../generator/infer-request.ts'
import { modelBytes } from '../../models/index.ts'
import { Rng } from '../../models/random.ts'
import { crashing, poisonInputs } from '../../models/special/index.ts'
import { expectUntouched, outcomeOf, tailOf } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'

const MODEL = 'culprit/div'
const STRIKES = 2
const STEADY_MODELS = 20
const SETTLE_MS = 500

export const crashingModel: FaultRow = {
  number: 9,
  fault: 'native crash of the engine on one model',
  injected: 'two requests, different bodies, whose run ends the process with SIGFPE',
  expected:
    'both 500 WORKER_CRASHED, then 422 MODEL_QUARANTINED also for good inputs; others answered without an error',
  limitSeconds: 10,
  async run(stage) {
    const expect = new Expectations()
    const steady = await stage.writeSteady(STEADY_MODELS)
    await stage.writeModelFile(MODEL, modelBytes(crashing().model))
    const running = await stage.serve({ awaits: MODEL, args: ['--workers', '2'] })
    await stage.touchAll(running, steady)
    const good = inferBody(crashing().inputs(new Rng('good'), 1), 'json')
    expect.equal('good input before', outcomeOf(await running.probe.tryInfer(MODEL, good)), '200')
    const { value, report } = await stage.besideSteady(running, steady, async () => {
      await stage.pause(SETTLE_MS)
      const seconds = await stage.seconds(async () => {
        for (let strike = 1; strike <= STRIKES; strike += 1) {
          stage.progress(`crash ${strike}`)
          const reply = await running.probe.tryInfer(MODEL, inferBody(poisonInputs(strike), 'json'))
          expect.equal(`crash ${strike}`, outcomeOf(reply), '500 WORKER_CRASHED')
        }
        expect.equal('good input after', outcomeOf(await running.probe.tryInfer(MODEL, good)), '422 MODEL_QUARANTINED')
      })
      await stage.pause(SETTLE_MS)
      return seconds
    })
    expectUntouched(expect, report)
    const lost = (await running.probe.metrics()).sum('modelmux_worker_restarts_total')
    const measured = `from the first crash to the quarantine; ${lost} workers lost, ${tailOf(report)}`
    return { seconds: value, measured, problems: expect.problems }
  },
}
