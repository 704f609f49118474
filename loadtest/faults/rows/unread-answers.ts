/** Row 43: clients that ask and never read. */
import { connect, type Socket } from 'node:net'
import { inferBody, inferRequest } from '../../generator/infer-request.ts'
import { readServerProcesses } from '../../measure/server-processes.ts'
import { modelBytes, type NamedTensor } from '../../models/index.ts'
import { identity } from '../../models/special/index.ts'
import { expectUntouched, tailOf } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'

const MODEL = 'echo/big'
const CLIENTS = 40
/** An answer of 4 MiB each. */
const VALUES = 2 ** 20
const WRITE_TIMEOUT_MS = 2000
/** Node looks at a stalled connection once an interval. */
const LIMIT_SECONDS = 8
const STEADY_MODELS = 10
/** Answers, the requests they came from, and what a collector has not taken yet. */
const MAX_GROWTH_BYTES = 3 * CLIENTS * VALUES * 4

export const unreadAnswers: FaultRow = {
  number: 43,
  fault: 'clients never read their answers',
  injected: `${CLIENTS} clients ask for 4 MiB each and read nothing; server.requestTimeoutMs is ${WRITE_TIMEOUT_MS}`,
  expected: 'connections are closed at the write timeout, memory stays bounded; others answered without an error',
  limitSeconds: LIMIT_SECONDS,
  async run(stage) {
    const expect = new Expectations()
    const steady = await stage.writeSteady(STEADY_MODELS)
    await stage.writeModelFile(MODEL, modelBytes(identity('FP32').model))
    const running = await stage.serve({ awaits: MODEL, config: { server: { headersTimeoutMs: WRITE_TIMEOUT_MS, requestTimeoutMs: WRITE_TIMEOUT_MS } } })
    const { server } = running
    await stage.touchAll(running, steady)
    const mainBytes = async (): Promise<number> => {
      const all = await readServerProcesses(server.pid)
      return all.find(({ pid }) => pid === server.pid)?.privateBytes ?? 0
    }
    const before = await mainBytes()
    const x: NamedTensor = { name: 'x', shape: [1, VALUES], datatype: 'FP32', data: new Float32Array(VALUES).fill(1) }
    const pieces = inferRequest(server.target, MODEL, inferBody([x], 'binary'))
    let peak = before
    const { value, report } = await stage.besideSteady(running, steady, async () => {
      let open = CLIENTS
      const sockets = Array.from({ length: CLIENTS }, () => unreading(server.target, pieces, () => (open -= 1)))
      stage.afterwards(async () => {
        for (const socket of sockets) socket.destroy()
      })
      return stage.secondsUntil('all are closed', 60, async () => {
        peak = Math.max(peak, await mainBytes())
        // A paused socket hears of its end when it next writes.
        for (const socket of sockets) if (!socket.destroyed) socket.write(' ')
        return open <= 0
      })
    })
    expectUntouched(expect, report)
    const growth = peak - before
    const mib = Math.round(growth / 2 ** 20)
    expect.that(growth <= MAX_GROWTH_BYTES, `the main process grew by ${mib} MiB`)
    const measured = `until all ${CLIENTS} connections were closed; the main process grew by ${mib} MiB, ${tailOf(report)}`
    return { seconds: value, measured, problems: expect.problems }
  },
}

function unreading(
  { host, port }: { readonly host: string; readonly port: number },
  pieces: readonly Buffer[],
  onClosed: () => void,
): Socket {
  const socket = connect({ host, port })
  socket.pause()
  socket.on('error', () => {})
  socket.once('close', onClosed)
  for (const piece of pieces) socket.write(piece)
  return socket
}
