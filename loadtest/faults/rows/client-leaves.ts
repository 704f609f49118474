/** Row 42: clients hang up while their requests run or wait. */
import { connect } from 'node:net'
import { inferBody, inferRequest } from '../../generator/infer-request.ts'
import { modelBytes, type NamedTensor } from '../../models/index.ts'
import { slow } from '../../models/special/index.ts'
import { outcomeOf } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'

const MODEL = 'busy/slow'
/** About a second of one core. */
const LONG = 10_000n
const WAITING = 20

export const clientLeaves: FaultRow = {
  number: 42,
  fault: 'clients hang up while their requests run or wait',
  injected: `one request of a second runs, ${WAITING} more wait behind it on the only worker; all connections are destroyed`,
  expected: 'what waited leaves the queue, what ran ends and frees its worker; the next request is answered',
  limitSeconds: 1,
  async run(stage) {
    const expect = new Expectations()
    await stage.writeModelFile(MODEL, modelBytes(slow().model))
    const { probe, server } = await stage.serve({ awaits: MODEL, args: ['--workers', '1'] })
    expect.equal('a short run before', outcomeOf(await probe.tryInfer(MODEL, iterations(1n))), '200')
    await probe.awaitQuiet(server.pid, stage.signal)
    const pieces = inferRequest(server.target, MODEL, iterations(LONG))
    const sockets = Array.from({ length: 1 + WAITING }, () => {
      const socket = connect(server.target.port, server.target.host)
      socket.on('error', () => {})
      for (const piece of pieces) socket.write(piece)
      return socket
    })
    const depth = async (): Promise<number> => (await probe.metrics()).sum('modelmux_queue_depth')
    await stage.secondsUntil('the others wait', 10, async () => (await depth()) > 0)
    for (const socket of sockets) socket.destroy()
    const seconds = await stage.secondsUntil('the queue is empty', 10, async () => (await depth()) === 0)
    const after = await probe.tryInfer(MODEL, iterations(1n))
    expect.equal('the next request', outcomeOf(after), '200')
    expect.that(after.ms < 5000, `the next request took ${Math.round(after.ms)} ms: what was left behind still ran`)
    const inFlight = (await probe.metrics()).sum('modelmux_requests_in_flight')
    // The look itself is one.
    expect.that(inFlight <= 1, `${inFlight} requests are still in flight`)
    const measured = `until the queue is empty; the next request answered in ${Math.round(after.ms)} ms`
    return { seconds, measured, problems: expect.problems }
  },
}

function iterations(count: bigint) {
  const tensor: NamedTensor = { name: 'iterations', shape: [1], datatype: 'INT64', data: BigInt64Array.of(count) }
  return inferBody([tensor], 'json')
}
