/** What is held against a model when its worker was killed for holding too much memory, with scripted workers. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { openScene, together } from '../../support/open-scene.ts'
import { refused, replicaScene } from '../../support/replica-scene.ts'

const NAME = 'acme/churn:1'

describe('a death for too much memory', () => {
  it('of one request is held against a model only where it was alone', async () => {
    const { scene, churn } = await openScene()
    const [worker] = scene.workers
    worker?.runs.shut()
    const [one] = await together(scene, churn, ['hang'])
    worker?.die('memory-cap')
    await scene.settle()
    assert.deepEqual(scene.blamed, [`suspects ${NAME} x1 memory`])
    scene.spare.lives[0]?.die('memory-cap')
    await scene.settle()
    assert.equal(one?.state, 'WORKER_CRASHED')
    assert.match(one?.error?.message ?? '', /took more memory than a worker may have/)
    assert.deepEqual(scene.blamed.slice(1), ['convicted', `struck ${NAME} memory run 1`])
    worker?.runs.open()
    await scene.end()
  })

  it('while a model is opened is held against it only where nothing else was open', async () => {
    const scene = replicaScene({ respawns: true })
    const churn = scene.model('acme/churn')
    const [worker] = scene.workers
    for (const isBad of [false, true]) {
      scene.spare.holdsOpens = isBad
      worker?.opens.shut()
      const [one] = await together(scene, churn, ['a'])
      worker?.die('memory-cap')
      worker?.opens.open()
      await scene.settle()
      if (isBad) scene.spare.lives.at(-1)?.die('memory-cap')
      await scene.settle()
      assert.equal(one?.state, isBad ? 'WORKER_CRASHED' : 'compile', one?.error?.message)
      // The next one needs a spare of its own.
      scene.spare.lives.at(-1)?.die('stop')
      await scene.settle()
    }
    const suspected = `suspects ${NAME} x1 memory`
    assert.deepEqual(scene.blamed, [suspected, 'cleared', suspected, 'convicted', `struck ${NAME} memory open 1`])
    await scene.end()
  })

  it('at an open that no request waits for is nobody’s strike', async () => {
    const scene = replicaScene({ respawns: true })
    const churn = scene.model('acme/churn')
    const [worker] = scene.workers
    worker?.opens.shut()
    const loaded = scene.replica.load(churn, new AbortController().signal)
    await scene.settle()
    worker?.die('memory-cap')
    worker?.opens.open()
    await refused(loaded, 'WORKER_CRASHED')
    await scene.settle()
    assert.deepEqual(scene.blamed, [])
    await scene.end()
  })
})
