/** Row 32: the server is killed while it compiles, again and again. */
import { kill } from 'node:process'
import { HttpProbe } from '../../bench/http-probe.ts'
import { expectUntouched } from '../answers.ts'
import { Expectations, type FaultRow } from '../fault.ts'
import { nameIn } from '../stage.ts'

const MODELS = 60
const PINNED = 3
const KILLS = 20
const QUICK_KILLS = 4
/** Longest time from the first request to the kill; the moments are spread over it evenly. */
const SPREAD_MS = 1500

export const killedWhileWriting: FaultRow = {
  number: 32,
  fault: 'kill -9 while artifacts are written',
  injected: `SIGKILL of the whole server at ${KILLS} moments spread over ${SPREAD_MS} ms of cold loads, on one cache folder`,
  expected: 'every start serves; in the end every model answers right and pins are resident',
  limitSeconds: 5,
  async run(stage) {
    const expect = new Expectations()
    const group = await stage.writeSteady(MODELS)
    const kills = stage.isQuick ? QUICK_KILLS : KILLS
    let slowest = 0
    for (let i = 0; i < kills; i += 1) {
      stage.progress(`kill ${i + 1} of ${kills}`)
      const from = stage.clock.now()
      const running = await stage.serve({ keepsCache: true })
      slowest = Math.max(slowest, (stage.clock.now() - from) / 1000)
      const clients = Array.from({ length: 4 }, () => new HttpProbe(running.server.target))
      const asked = clients.map(async (client, lane) => {
        // Other models each time, so that there is always something to compile.
        for (let n = lane; n < MODELS; n += clients.length) {
          await client.tryInfer(nameIn('steady', 1 + ((n + i * 7) % MODELS)), stage.body('XS'))
        }
      })
      await stage.pause(((i + 1) * SPREAD_MS) / kills)
      // The leader's group: workers and compilers go with it, as with a power cut.
      kill(-running.server.pid, 'SIGKILL')
      await Promise.allSettled(asked)
      for (const client of clients) client.close()
      await stage.stop(running)
    }
    const pins = Array.from({ length: PINNED }, (_, i) => nameIn('steady', MODELS - i))
    const from = stage.clock.now()
    const last = await stage.serve({ keepsCache: true, config: { cache: { pins } } })
    slowest = Math.max(slowest, (stage.clock.now() - from) / 1000)
    await stage.secondsUntil('pins are resident', 30, async () => {
      return (await last.probe.metrics()).sum('modelmux_models_resident') >= PINNED
    })
    await stage.touchAll(last, group)
    const { report } = await stage.besideSteady(last, group, () => stage.pause(3000), 200)
    expectUntouched(expect, report)
    const measured = `the slowest start; ${kills} kills, then ${report.answered} answers over ${MODELS} models, ${report.wrong} wrong`
    return { seconds: slowest, measured, problems: expect.problems }
  },
}
