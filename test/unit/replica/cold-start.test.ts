import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { replicaScene } from '../../support/replica-scene.ts'

describe('a request that will not wait for a cold model', () => {
  it('begins its load, once for all that ask so, and is told to come back', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    scene.artifacts.fetches.shut()
    const asked = Array.from({ length: 3 }, () => scene.ask(churn, { coldStart: 'refuse' }))
    await scene.settle()
    assert.deepEqual(
      asked.map(({ state, error }) => [state, error?.facts.retryAfterMs]),
      asked.map(() => ['MODEL_LOADING', 2000]),
    )
    assert.equal(scene.table.pending.waiters, 0, 'nobody waits')
    scene.artifacts.fetches.open()
    await scene.settle()
    const here = scene.ask(churn, { coldStart: 'refuse' })
    await scene.settle()
    assert.equal(here.state, 'load')
    assert.equal(scene.artifacts.log.filter((line) => line.startsWith('fetch')).length, 1)
    await scene.end()
  })

  it('is told how far the fetch is, and when the model will be there', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    scene.artifacts.fetches.shut()
    scene.ask(churn, { coldStart: 'refuse' })
    await scene.settle()
    const done = { bytesDone: 3 * 2 ** 20, bytes: 12 * 2 ** 20, bytesPerSecond: 2 ** 20 }
    scene.progress.set(churn.key, { ...done, etaMs: 9000 })
    assert.deepEqual(scene.replica.stateOf(churn.key), {
      state: 'LOADING',
      reason: 'fetching: 3.0 MiB of 12 MiB at 1.0 MiB/s, 9 s left',
    })
    const waiting = scene.ask(churn, { coldStart: 'refuse' })
    await scene.settle()
    assert.match(
      waiting.error?.message ?? '',
      /is being fetched, 3\.0 MiB of 12 MiB at 1\.0 MiB\/s, 9 s left; ask again/,
    )
    assert.equal(waiting.error?.facts.retryAfterMs, 10_000)
    assert.deepEqual(waiting.error?.facts.details, { ...done, etaMs: 9000 })
    scene.artifacts.fetches.open()
    await scene.settle()
    await scene.end()
  })

  it('is told of a load that failed, while its back-off lasts', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    scene.artifacts.fetches.shut()
    scene.ask(churn, { coldStart: 'refuse' })
    await scene.settle()
    scene.artifacts.fetches.fail(new Error('the disk broke'))
    await scene.settle()
    const again = scene.ask(churn, { coldStart: 'refuse' })
    await scene.settle()
    assert.equal(again.state, 'MODEL_LOAD_FAILED')
    assert.equal(scene.artifacts.log.filter((line) => line.startsWith('fetch')).length, 1)
    await scene.end()
  })
})
