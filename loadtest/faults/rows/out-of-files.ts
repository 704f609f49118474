/** Row 46: the server's file descriptors run out. */
import { connect, type Socket } from 'node:net'
import { HttpProbe } from '../../bench/http-probe.ts'
import { errorCount } from '../../generator/plan.ts'
import { outcomeOf, tailOf } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'
import { nameIn } from '../stage.ts'

const OPEN_FILES = 256
const SOCKETS = 400
const STEADY_MODELS = 10
const HELD_MS = 3000

export const outOfFiles: FaultRow = {
  number: 46,
  fault: 'file descriptors run out',
  injected: `a server that may have ${OPEN_FILES} files open, and ${SOCKETS} idle connections`,
  expected:
    'new connections are refused or wait, existing ones are served without an error; all well once the idle ones are gone',
  limitSeconds: 5,
  async run(stage) {
    const expect = new Expectations()
    const steady = await stage.writeSteady(STEADY_MODELS)
    const running = await stage.serve({ launch: { openFiles: OPEN_FILES } })
    const { server, probe } = running
    await stage.touchAll(running, steady)
    const sockets: Socket[] = []
    stage.afterwards(async () => {
      for (const socket of sockets) socket.destroy()
    })
    // Steady traffic holds its connections from before; the first requests open them.
    const { report } = await stage.besideSteady(running, steady, async () => {
      await stage.pause(HELD_MS)
      for (let i = 0; i < SOCKETS; i += 1) {
        const socket = connect(server.target.port, server.target.host)
        socket.on('error', () => {})
        sockets.push(socket)
      }
      await stage.pause(HELD_MS)
      expect.equal(
        'a kept connection meanwhile',
        outcomeOf(await probe.tryInfer(nameIn('steady', 1), stage.body('XS'))),
        '200',
      )
    })
    for (const socket of sockets) socket.destroy()
    const seconds = await stage.secondsUntil('a new connection is served', 60, async () => {
      const fresh = new HttpProbe(server.target)
      try {
        return (await fresh.tryInfer(nameIn('steady', 2), stage.body('XS'))).status === 200
      } catch {
        return false
      } finally {
        fresh.close()
      }
    })
    expect.equal('wrong answers', report.wrong, 0)
    // The generator opens further connections when it has to, and those may be the ones refused.
    const { connection = 0 } = report.errors
    expect.equal('errors other than refused connections', errorCount(report) - connection, 0)
    const measured = `until a new connection was served again; meanwhile ${report.answered} answered, ${connection} connections refused, ${tailOf(report)}`
    return { seconds, measured, problems: expect.problems }
  },
}
