/** Row 50: an operator unloads a model that is in use. */

import { HttpProbe } from '../../bench/http-probe.ts'
import { inferBody } from '../../generator/infer-request.ts'
import { modelBytes, type NamedTensor } from '../../models/index.ts'
import { slow } from '../../models/special/index.ts'
import { outcomeOf } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'

const MODEL = 'busy/slow'
/** About two seconds of one core. */
const ITERATIONS = 20_000n
const STEADY_MODELS = 10

export const unloadInUse: FaultRow = {
  number: 50,
  fault: 'a model in use is unloaded over the API',
  injected: 'unload while a run of two seconds is under way',
  expected: 'the run is answered, then the memory is given back; the next request loads the model again',
  limitSeconds: 1,
  async run(stage) {
    const expect = new Expectations()
    const steady = await stage.writeSteady(STEADY_MODELS)
    await stage.writeModelFile(MODEL, modelBytes(slow().model))
    const running = await stage.serve({ awaits: MODEL })
    const { probe, server } = running
    await stage.touchAll(running, steady)
    expect.equal('a short run before', outcomeOf(await probe.tryInfer(MODEL, iterations(1n))), '200')
    await probe.awaitQuiet(server.pid, stage.signal)
    const client = new HttpProbe(server.target)
    let answeredAt = 0
    const { value } = await stage.besideSteady(running, steady, async () => {
      const answer = client.tryInfer(MODEL, iterations(ITERATIONS)).finally(() => {
        answeredAt = stage.clock.now()
      })
      await stage.pause(300)
      const unloaded = await probe.ask('POST', `/v2/repository/models/${MODEL}/unload`, {})
      const unloadedAt = stage.clock.now()
      expect.equal('the run', outcomeOf(await answer), '200')
      expect.that(unloaded.status === 200 || unloaded.status === 202, `unload: ${outcomeOf(unloaded)}`)
      const gone = await stage.secondsUntil('the memory is given back', 30, async () => {
        const index = await probe.ask('POST', '/v2/repository/index', {})
        const rows = JSON.parse(index.body.toString()) as readonly { readonly name: string; readonly state: string }[]
        return rows.find(({ name }) => name === MODEL)?.state === 'UNAVAILABLE'
      })
      return Math.max(0, (unloadedAt - answeredAt) / 1000) + gone
    })
    client.close()
    const again = await probe.tryInfer(MODEL, iterations(1n))
    expect.equal('the next request', outcomeOf(again), '200')
    expect.that(/x-modelmux-cache: load/i.test(again.head), 'the next request did not load the model')
    return { seconds: value, measured: 'from the end of the run to memory given back', problems: expect.problems }
  },
}

function iterations(count: bigint) {
  const tensor: NamedTensor = { name: 'iterations', shape: [1], datatype: 'INT64', data: BigInt64Array.of(count) }
  return inferBody([tensor], 'json')
}
