/** Row 33: everyone asks for the same cold model at once. */
import { HttpConnection, requestOnce } from '../../generator/http-connection.ts'
import { answerProblem, readAnswer } from '../../generator/infer-answer.ts'
import { inferBody, inferRequest } from '../../generator/infer-request.ts'
import { modelClass, Rng } from '../../models/index.ts'
import { countOutcomes, outcomeOf } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'
import { nameIn } from '../stage.ts'

const REQUESTS = 1000
/** Waiters beyond it are refused at once. */
const MAX_WAITERS = 600
const TIMEOUT_MS = 60_000

export const coldBurst: FaultRow = {
  number: 33,
  fault: `${REQUESTS} requests at once for one cold model`,
  injected: `as many connections, one request each; at most ${MAX_WAITERS} may wait for loads`,
  expected: 'one compile and one load; all answered, those beyond the bound with 503 at once',
  limitSeconds: 10,
  async run(stage) {
    const expect = new Expectations()
    const group = await stage.writeSteady(1, 'S')
    const { server, probe } = await stage.serve({ config: { scheduler: { maxLoadWaiters: MAX_WAITERS } } })
    const zooClass = modelClass('S')
    const inputs = zooClass.sampleInputs(new Rng('burst'), 1)
    const pieces = inferRequest(server.target, nameIn('steady', 1), inferBody(inputs, 'binary'))
    const wanted = zooClass.expected({ customer: 1, family: group.family, seed: group.seed }, inputs)
    const connections = Array.from(
      { length: REQUESTS },
      () => new HttpConnection(server.target, TIMEOUT_MS, stage.clock),
    )
    let wrong = 0
    const outcomes: string[] = []
    const seconds = await stage.seconds(() =>
      Promise.all(
        connections.map(async (connection) => {
          const reply = await requestOnce(connection, pieces, stage.clock)
          outcomes.push(outcomeOf(reply))
          if (reply.status !== 200) return
          if (answerProblem(readAnswer(reply.head, reply.body), wanted, zooClass.tolerance) !== undefined) wrong += 1
        }),
      ),
    )
    for (const connection of connections) connection.close()
    const metrics = await probe.metrics()
    expect.equal('wrong answers', wrong, 0)
    expect.equal('compiles', metrics.sum('modelmux_compiles_total'), 1)
    expect.equal('loads', metrics.sum('modelmux_loads_total'), 1)
    const counts = countOutcomes(outcomes)
    expect.that(
      outcomes.every((outcome) => outcome === '200' || outcome === '503 OVERLOADED'),
      `answers: ${counts}`,
    )
    const right = outcomes.filter((outcome) => outcome === '200').length
    expect.that(right >= MAX_WAITERS, `${right} were answered, ${MAX_WAITERS} may wait`)
    return { seconds, measured: `until all were answered; ${counts}`, problems: expect.problems }
  },
}
