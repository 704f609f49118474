/** Models that mean harm, on a real server: each is answered with an error of its own, and the neighbour is never answered with one. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { Bomb } from '../../loadtest/models/special/index.ts'
import { addOne, BOMBS } from '../../loadtest/models/special/index.ts'
import { assertRefused, infer } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { Neighbour } from '../support/neighbour.ts'
import { ServerProcess } from '../support/server-process.ts'

const REFUSED = BOMBS.filter(({ goesOff }) => goesOff === 'walk' || goesOff === 'compile')

let models: ModelsFolder
let server: ServerProcess
let neighbour: Neighbour

before(async () => {
  models = await ModelsFolder.make()
  await models.write('good/neighbour', '1', addOne().model)
  await models.write('good/latecomer', '1', addOne().model)
  for (const { name, bytes } of REFUSED) await models.writeFile(`bombs/${name}`, '1', 'model.onnx', bytes())
  server = await ServerProcess.start({
    models: models.dir,
    args: ['--workers', '2'],
    config: {
      store: { settleMs: 0 },
      artifact: { compileDeadlineMs: 3_000, checkMs: 1_000 },
      server: { deadlineMs: 120_000 },
    },
  })
  await server.logs('registry.scanned', ({ models: count }) => count === REFUSED.length + 2)
  neighbour = await Neighbour.settle(server.client, 'good/neighbour', addOne())
})

after(async () => {
  await server.stop()
  await models.removeAll()
})

describe('a model that means harm and is found out before it serves', () => {
  for (const bomb of REFUSED) {
    it(`is refused with 422, and costs the neighbour nothing: ${bomb.name}`, async () => {
      const answers = await neighbour.during(() => ask(bomb))
      assertRefused(answers, 422, 'ARTIFACT_INVALID', /./)
      assert.deepEqual(answers.json.model, `bombs/${bomb.name}`)
      const strike = answers.json.strike
      if (bomb.goesOff === 'walk') assert.equal(strike, undefined, 'it was opened to find that out')
      if (bomb.harm === 'time') assert.equal(strike, 'deadline')
      if (bomb.harm === 'memory') assert.ok(['memory', 'crash'].includes(String(strike)), String(strike))
    })
  }

  it('leaves a compiler that serves the next one', async () => {
    await Neighbour.settle(server.client, 'good/latecomer', addOne())
  })
})

function ask({ name, trigger }: Bomb) {
  return infer(server.client, `bombs/${name}`, trigger())
}
