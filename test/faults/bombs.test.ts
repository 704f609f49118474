/** Models that mean harm, on a real server: each is answered with an error of its own, and the neighbour is never answered with one. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { Bomb } from '../../loadtest/models/special/index.ts'
import { addOne, BOMBS } from '../../loadtest/models/special/index.ts'
import { assertRefused, infer, outputsOf } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { Neighbour } from '../support/neighbour.ts'
import { ServerProcess } from '../support/server-process.ts'

const SERVED = BOMBS.filter(({ goesOff }) => goesOff === 'run' || goesOff === 'request')
const REFUSED = BOMBS.filter(({ goesOff }) => goesOff === 'walk' || goesOff === 'compile')

let models: ModelsFolder
let server: ServerProcess
let neighbour: Neighbour

before(async () => {
  models = await ModelsFolder.make()
  await models.write('good/neighbour', '1', addOne().model)
  await models.write('good/latecomer', '1', addOne().model)
  for (const { name, bytes } of BOMBS) await models.writeFile(`bombs/${name}`, '1', 'model.onnx', bytes())
  server = await ServerProcess.start({
    models: models.dir,
    args: ['--workers', '2'],
    config: {
      store: { settleMs: 0 },
      artifact: { compileDeadlineMs: 3_000, checkMs: 1_000 },
      worker: { hangMs: 5_000, memoryBytes: '1536MiB' },
      server: { deadlineMs: 120_000, maxAnswerBytes: '16MiB' },
    },
  })
  await server.logs('registry.scanned', ({ models: count }) => count === BOMBS.length + 2)
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

describe('a model that means harm and only shows it when it is asked', () => {
  for (const bomb of SERVED.filter(({ harm }) => harm !== 'answer')) {
    it(`costs one worker for each of two requests, then is refused, and the neighbour has all its answers: ${bomb.name}`, async () => {
      if (bomb.harmless !== undefined) outputsOf(await infer(server.client, nameOf(bomb), bomb.harmless()))
      // Two bodies that mean the same: what one request does is no proof against its model.
      for (const encoding of ['json', 'binary'] as const) {
        const answer = await neighbour.during(() => ask(bomb, encoding))
        assertRefused(answer, 500, 'WORKER_CRASHED', /./)
        assert.equal(answer.json.cause, CAUSES[bomb.harm])
      }
      const answer = await neighbour.during(() => ask(bomb, 'json'))
      assertRefused(answer, 422, 'MODEL_QUARANTINED', /2 worker processes/)
    })
  }

  it('is refused the answer that is too large to be sent, and nothing else', async () => {
    const bomb = SERVED.find(({ harm }) => harm === 'answer')
    assert.ok(bomb?.harmless !== undefined)
    for (const encoding of ['json', 'binary'] as const) {
      const answer = await neighbour.during(() => ask(bomb, encoding))
      assertRefused(answer, 400, 'BAD_INPUT_VALUE', /16 MiB, the limit of this server.*server\.maxAnswerBytes/)
      outputsOf(await infer(server.client, nameOf(bomb), bomb.harmless(), { encoding }))
    }
  })
})

/** What is told of a worker's end, by the harm that ended it. */
const CAUSES: Readonly<Record<Bomb['harm'], string>> = {
  none: '',
  answer: '',
  time: 'hang',
  memory: 'memory',
  process: 'crash',
}

function ask(bomb: Bomb, encoding: 'json' | 'binary' = 'json') {
  return infer(server.client, nameOf(bomb), bomb.trigger(), { encoding })
}

function nameOf({ name }: Bomb): string {
  return `bombs/${name}`
}
