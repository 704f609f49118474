/** Models that mean harm, on a real server: each is answered with an error of its own, and the neighbour is never answered with one. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { Bomb } from '../../loadtest/models/special/index.ts'
import { addOne, BOMBS, endlessFolding } from '../../loadtest/models/special/index.ts'
import { eventually } from '../support/eventually.ts'
import { assertRefused, infer, outputsOf } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { Neighbour } from '../support/neighbour.ts'
import { ServerProcess } from '../support/server-process.ts'

const SERVED = BOMBS.filter(({ goesOff }) => goesOff === 'run' || goesOff === 'request')
const REFUSED = BOMBS.filter(({ goesOff }) => goesOff === 'walk' || goesOff === 'compile')

/** Models of one tenant, each of which holds a compiler until its deadline. */
const MOB = 50
const MOB_TRIGGER = BOMBS.find(({ name }) => name === 'endless-folding')?.trigger() ?? []

let models: ModelsFolder
let server: ServerProcess
let neighbour: Neighbour

before(async () => {
  models = await ModelsFolder.make()
  await models.write('good/neighbour', '1', addOne().model)
  await models.write('good/latecomer', '1', addOne().model)
  for (const { name, bytes } of BOMBS) await models.writeFile(`bombs/${name}`, '1', 'model.onnx', bytes())
  await models.write('good/cold', '1', addOne().model)
  for (let i = 0; i < MOB; i++) await models.write(`mob/bomb-${i}`, '1', endlessFolding(2048 + i))
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
  await server.logs('registry.scanned', ({ models: count }) => count === BOMBS.length + MOB + 3)
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

describe('a tenant that sends nothing but bombs', () => {
  it('has fifty of them in line, and a model of another tenant waits for one', async () => {
    const leave = new AbortController()
    let ended = 0
    const mob = Array.from({ length: MOB }, async (_, i) => {
      try {
        return await infer(server.client, `mob/bomb-${i}`, MOB_TRIGGER, { signal: leave.signal })
      } catch (error) {
        if (!leave.signal.aborted) throw error
        return undefined
      } finally {
        ended++
      }
    })
    try {
      await eventually('all of the mob is compiled or in line for it', async () => {
        const rows = JSON.parse((await server.client.post('/v2/repository/index')).text) as Record<string, string>[]
        const inLine = rows.filter(({ name, reason }) => name?.startsWith('mob/') && reason === 'compiling')
        return inLine.length + ended >= MOB ? true : undefined
      })
      const before = ended
      await neighbour.during(() => Neighbour.settle(server.client, 'good/cold', addOne()))
      assert.ok(ended - before <= 1, `${ended - before} bombs went first`)
      assert.ok(ended < MOB / 2, 'there was no line')
    } finally {
      leave.abort()
      await Promise.all(mob)
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
