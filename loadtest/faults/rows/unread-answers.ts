/** Row 43: clients that ask and never read. */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { inferBody, inferRequest } from '../../generator/infer-request.ts'
import type { Target } from '../../generator/plan.ts'
import { readServerProcesses } from '../../measure/server-processes.ts'
import type { NamedTensor } from '../../models/index.ts'
import { BOMBS } from '../../models/special/index.ts'
import { expectUntouched, tailOf } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'

const MODEL = 'big/answer'
/** Together below what unread answers may take, so that others go on. */
const CLIENTS = 12
/** FP32 values of an answer: 16 MiB, more than the kernel keeps for a client that does not read. */
const VALUES = 2 ** 22
const WRITE_TIMEOUT_MS = 2000
/** Node looks at a stalled connection once an interval. */
const LIMIT_SECONDS = 8
const STEADY_MODELS = 10
const SETTLE_MS = 1000
const ESTABLISHED = '01'
const DRIP_MS = 300
/** Answers, the requests they came from, and what a collector has not taken yet. */
const MAX_GROWTH_BYTES = 3 * CLIENTS * VALUES * 4

export const unreadAnswers: FaultRow = {
  number: 43,
  fault: 'clients never read their answers',
  injected: `${CLIENTS} clients ask for 16 MiB each and read nothing, half of them sending a byte now and then; server.requestTimeoutMs is ${WRITE_TIMEOUT_MS}`,
  expected: 'connections are closed at the write timeout, memory stays bounded; others answered without an error',
  limitSeconds: LIMIT_SECONDS,
  async run(stage) {
    const expect = new Expectations()
    const answering = BOMBS.find(({ name }) => name === 'answering-on-request')
    if (answering === undefined) throw new Error('the model that answers with as much as it is asked for is gone')
    const steady = await stage.writeSteady(STEADY_MODELS)
    await stage.writeModelFile(MODEL, answering.bytes())
    const running = await stage.serve({
      awaits: MODEL,
      config: { server: { headersTimeoutMs: WRITE_TIMEOUT_MS, requestTimeoutMs: WRITE_TIMEOUT_MS } },
    })
    const { server } = running
    await stage.touchAll(running, steady)
    const main = async () => {
      const all = await readServerProcesses(server.pid)
      const found = all.find(({ pid }) => pid === server.pid)
      if (found === undefined) throw new Error('the server is gone')
      return found
    }
    const size: NamedTensor = { name: 'size', shape: [1], datatype: 'INT64', data: BigInt64Array.of(BigInt(VALUES)) }
    const pieces = inferRequest(server.target, MODEL, inferBody([size], 'binary'))
    const { value, report } = await stage.besideSteady(running, steady, async () => {
      await stage.pause(SETTLE_MS)
      const before = await main()
      let peakBytes = before.privateBytes
      const sockets = Array.from({ length: CLIENTS }, () => unreading(server.target, pieces))
      const drip = stage.clock.every(DRIP_MS, () => {
        for (const socket of sockets.slice(CLIENTS / 2)) socket.write('G')
      })
      stage.afterwards(async () => {
        drip.cancel()
        for (const socket of sockets) socket.destroy()
      })
      await Promise.all(sockets.map((socket) => once(socket, 'connect')))
      const ports = new Set(sockets.map(({ localPort }) => localPort))
      const seconds = await stage.secondsUntil('all are closed', 60, async () => {
        peakBytes = Math.max(peakBytes, (await main()).privateBytes)
        return (await establishedFrom(server.target.port, ports)) === 0
      })
      return { seconds, growth: peakBytes - before.privateBytes }
    })
    expectUntouched(expect, report)
    const mib = Math.round(value.growth / 2 ** 20)
    expect.that(value.growth <= MAX_GROWTH_BYTES, `the main process grew by ${mib} MiB`)
    const measured = `until all ${CLIENTS} connections were closed; the main process grew by ${mib} MiB, ${tailOf(report)}`
    return { seconds: value.seconds, measured, problems: expect.problems }
  },
}

function unreading({ host, port }: Target, pieces: readonly Buffer[]): Socket {
  const socket = connect({ host, port })
  socket.pause()
  socket.on('error', () => {})
  for (const piece of pieces) socket.write(piece)
  return socket
}

/**
 * Connections to `serverPort` that the server still has open. A client that does not read cannot see that it was hung up on: the table
 * of the kernel tells, its columns being the server's side.
 */
async function establishedFrom(serverPort: number, clientPorts: ReadonlySet<number | undefined>): Promise<number> {
  const rows = (await readFile('/proc/net/tcp', 'latin1')).split('\n').slice(1)
  const port = (address = ''): number => Number.parseInt(address.slice(address.indexOf(':') + 1), 16)
  return rows.filter((row) => {
    const [, local, remote, state] = row.trim().split(/\s+/)
    return port(local) === serverPort && clientPorts.has(port(remote)) && state === ESTABLISHED
  }).length
}
