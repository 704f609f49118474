/** Artifacts whose files turn out not to be what was written, with scripted workers and damage by order. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { openScene, together } from '../../support/open-scene.ts'
import { MiB, replicaScene } from '../../support/replica-scene.ts'

const NAME = 'acme/churn:1'

describe('damaged files', () => {
  it('are looked for before a model is blamed: they are made again, the request waits, and nobody is struck', async () => {
    const { scene, churn } = await openScene()
    scene.artifacts.damaged.add('acme/churn-1')
    const [worker] = scene.workers
    worker?.runs.shut()
    const all = await together(scene, churn, ['a'])
    worker?.die()
    worker?.runs.open()
    await scene.settle()
    assert.equal(all[0]?.text, 'acme/churn-1.onnx a', all[0]?.state)
    assert.equal(all[0]?.state, 'compile')
    assert.deepEqual(scene.blamed, [])
    assert.deepEqual(scene.artifacts.log.slice(-4), [
      'verify acme/churn-1',
      'fetch acme/churn:1',
      'compile acme/churn:1',
      'page acme/churn-1',
    ])
    await scene.end()
  })

  it('give no answers in the spare either: suspects wait for the model to be made again', async () => {
    const { scene, churn } = await openScene()
    const [home] = scene.workers
    home?.runs.shut()
    scene.spare.holdsRuns = true
    const all = await together(scene, churn, ['a', 'b'])
    home?.die()
    home?.runs.open()
    await scene.settle()
    const [spare] = scene.spare.lives
    assert.deepEqual(spare?.runs.waiting, ['a'])
    const resident = scene.residents.get(churn.key) ?? assert.fail()
    scene.damage.condemn(resident)
    spare?.runs.open()
    await scene.settle()
    assert.deepEqual(
      all.map(({ state, text }) => [state, text]),
      [
        ['load', 'acme/churn-1.onnx a'],
        ['wait', 'acme/churn-1.onnx b'],
      ],
    )
    assert.equal(spare?.log.filter((line) => line.startsWith('run')).length, 1, 'nothing more is run on damaged files')
    await scene.end()
  })

  it('give no answers: what other workers have open is closed, and what they were running is run again', async () => {
    const { scene, churn } = await openScene({ workers: 2 })
    const [home, away] = [scene.home(churn), scene.away(churn)]
    home.runs.shut()
    away.runs.shut()
    const first = await together(scene, churn, ['a'])
    // Its home is busy for so long that the other worker takes the next one.
    await scene.clock.advance(1000)
    const second = await together(scene, churn, ['b'])
    await scene.clock.advance(1000)
    await scene.settle()
    const queued = await together(scene, churn, ['c'])
    scene.artifacts.damaged.add('acme/churn-1')
    home.die()
    home.runs.open()
    await scene.settle()
    away.runs.open()
    await scene.settle()
    const all = [...first, ...second, ...queued]
    assert.deepEqual(
      all.map(({ text }) => text),
      ['a', 'b', 'c'].map((body) => `acme/churn-1.onnx ${body}`),
    )
    assert.equal(scene.artifacts.log.filter((line) => line === 'compile acme/churn:1').length, 1)
    assert.deepEqual(scene.blamed, [])
    await scene.end()
  })

  it('throw away what was run on them meanwhile, and run it again on good ones', async () => {
    const { scene, churn } = await openScene()
    const [worker] = scene.workers
    worker?.runs.shut()
    const [one] = await together(scene, churn, ['a'])
    scene.artifacts.compiled.clear()
    scene.damage.found(['acme/churn-1.onnx'])
    const before = worker?.log.length ?? 0
    worker?.runs.open()
    await scene.settle()
    assert.deepEqual([one?.state, one?.text], ['compile', 'acme/churn-1.onnx a'])
    assert.deepEqual(worker?.log.slice(before), ['run acme/churn:1 x1', 'open acme/churn:1', 'run acme/churn:1 x1'])
    await scene.end()
  })

  it('that a scrub found close the model at once, and the next request has it made again', async () => {
    const { scene, churn } = await openScene()
    scene.artifacts.compiled.clear()
    scene.damage.found(['acme/churn-1.onnx'])
    await scene.settle()
    assert.deepEqual(scene.places(churn), [])
    assert.equal((await scene.answered(churn)).state, 'compile')
    await scene.end()
  })

  it('of a shared tensor concern every model that has it, and no other', async () => {
    const scene = replicaScene()
    const digest = 'ab'.repeat(32)
    const shared = [{ digest, bytes: MiB }]
    const [a, b] = [scene.model('acme/a', { blobs: shared }), scene.model('acme/b', { blobs: shared })]
    const c = scene.model('acme/c')
    for (const model of [a, b, c]) await scene.answered(model)
    scene.damage.found([`blobs/ab/${digest}`])
    await scene.settle()
    assert.deepEqual(
      [a, b, c].map((model) => scene.places(model).length),
      [0, 0, 1],
    )
    await scene.end()
  })

  it('that cannot be looked at clear the model: no strike without proof', async () => {
    const { scene, churn } = await openScene()
    scene.artifacts.verifies.shut()
    const [one] = await together(scene, churn, ['poison'])
    scene.artifacts.verifies.fail(new Error('no compiler'))
    await scene.settle()
    assert.equal(one?.state, 'WORKER_CRASHED')
    assert.match(one?.error?.message ?? '', /files could not be verified/)
    assert.deepEqual(scene.blamed, [`unverified ${NAME}`])
    await scene.end()
  })

  it('keep a model from workers while they are looked at, but not for ever', async () => {
    const { scene, churn } = await openScene()
    scene.artifacts.verifies.shut()
    await together(scene, churn, ['poison'])
    const next = scene.ask(churn, { body: 'next' })
    await scene.settle()
    assert.equal(next.state, 'pending')
    await scene.clock.advance(2000)
    await scene.settle()
    assert.equal(next.state, 'load', 'a look at its files that takes longer does not hold it up')
    scene.artifacts.verifies.open()
    await scene.settle()
    await scene.end()
  })
})
