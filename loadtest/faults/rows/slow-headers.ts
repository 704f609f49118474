/** Row 41: thousands of clients that never finish their headers. */
import { connect, type Socket } from 'node:net'
import { expectUntouched } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'

const SOCKETS = 5000
const QUICK_SOCKETS = 500
const HEADERS_TIMEOUT_SECONDS = 10
/** Node looks at its connections every 30 s by default, the server more often. */
const LOOK_SECONDS = 5
const STEADY_MODELS = 10
const QUIET_MS = 5000
const DRIP_MS = 2000
/** p99 of two quiet stretches differs by as much on a machine with other work; beyond it the sockets are to blame. */
const SLACK = 1.1

export const slowHeaders: FaultRow = {
  number: 41,
  fault: 'slowloris',
  injected: `${SOCKETS} sockets that send a header byte every two seconds and never end their headers`,
  expected: `all closed at headersTimeout (${HEADERS_TIMEOUT_SECONDS} s); others answered without an error, their p99 within 10 % of the worse of two quiet stretches`,
  limitSeconds: HEADERS_TIMEOUT_SECONDS + LOOK_SECONDS,
  async run(stage) {
    const expect = new Expectations()
    const steady = await stage.writeSteady(STEADY_MODELS)
    const running = await stage.serve()
    await stage.touchAll(running, steady)
    const count = stage.isQuick ? QUICK_SOCKETS : SOCKETS
    const quiet = (): ReturnType<typeof stage.besideSteady> =>
      stage.besideSteady(running, steady, () => stage.pause(QUIET_MS))
    const before = await quiet()
    const sockets: Socket[] = []
    let open = 0
    stage.afterwards(async () => {
      for (const socket of sockets) socket.destroy()
    })
    const { value, report } = await stage.besideSteady(running, steady, async () => {
      stage.progress(`${count} sockets`)
      const connected: Promise<void>[] = []
      for (let i = 0; i < count; i += 1) {
        const { promise, resolve } = Promise.withResolvers<void>()
        const socket = connect(running.server.target.port, running.server.target.host, () => {
          open += 1
          socket.write('POST /v2/models/x/infer HTTP/1.1\r\nHost: x\r\nX-Slow: ')
          resolve()
        })
        // The server may answer 408 before it closes.
        socket.on('data', () => {})
        socket.on('error', () => resolve())
        socket.on('close', () => {
          open -= 1
        })
        sockets.push(socket)
        connected.push(promise)
      }
      await Promise.all(connected)
      const drip = stage.clock.every(DRIP_MS, () => {
        for (const socket of sockets) if (socket.writable) socket.write('a')
      })
      try {
        return await stage.secondsUntil('all are closed', 60, () => Promise.resolve(open <= 0))
      } finally {
        drip.cancel()
      }
    })
    const after = await quiet()
    expectUntouched(expect, report)
    const calm = Math.max(before.report.latency.p99, after.report.latency.p99)
    const { p99 } = report.latency
    expect.that(p99 <= SLACK * calm, `others' p99 ${p99.toFixed(1)} ms, quiet ${calm.toFixed(1)} ms`)
    const measured = `until the last of ${count} was closed; others' p99 ${p99.toFixed(1)} ms, in quiet ${before.report.latency.p99.toFixed(1)} and ${after.report.latency.p99.toFixed(1)} ms`
    return { seconds: value, measured, problems: expect.problems }
  },
}
