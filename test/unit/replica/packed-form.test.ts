import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ReplicaScene } from '../../support/replica-scene.ts'
import { MiB, replicaScene } from '../../support/replica-scene.ts'

function only(scene: ReplicaScene) {
  const [worker] = scene.workers
  assert.ok(worker)
  return worker
}

describe('the packed form', () => {
  const packed = { openMs: 10, runMs: 1, privateBytes: 2 * MiB, paysAfterRuns: 3 }

  it('replaces the plain one after as many runs as it takes to pay', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn', { probe: { packed } })
    for (let i = 0; i < 5; i++) await scene.answered(churn)
    assert.deepEqual(
      only(scene).log.filter((line) => line.startsWith('open')),
      ['open acme/churn:1', 'open acme/churn:1 packed'],
    )
    assert.equal(scene.ledger.usedBytes, 3 * MiB)
    await scene.end()
  })

  it('waits while the plain one is at work', async () => {
    const scene = replicaScene({ scheduler: { aheadMs: 1000 } })
    const churn = scene.model('acme/churn', { probe: { packed } })
    for (let i = 0; i < 2; i++) await scene.answered(churn)
    only(scene).runs.shut()
    const all = [scene.ask(churn)]
    await scene.settle()
    all.push(scene.ask(churn))
    await scene.settle()
    only(scene).runs.let()
    await scene.settle()
    all.push(scene.ask(churn))
    await scene.settle()
    only(scene).runs.open()
    await scene.settle()
    assert.deepEqual(
      all.map(({ state }) => state),
      ['hit', 'hit', 'hit'],
    )
    assert.equal((await scene.answered(churn)).state, 'load')
    await scene.end()
  })

  it('is put off where there is no memory to open it at first', async () => {
    const scene = replicaScene({ memoryBytes: 2 * MiB })
    const churn = scene.model('acme/churn', { probe: { packed } })
    for (let i = 0; i < 3; i++) await scene.answered(churn)
    const [placement] = scene.placements.ofKey(churn.key)
    assert.ok(placement)
    await scene.sessions.close(placement, 'test')
    assert.equal((await scene.answered(churn)).state, 'load')
    assert.equal(only(scene).log.filter((line) => line.endsWith('packed')).length, 0)
    await scene.end()
  })

  it('is put off where there is no memory for it, and nobody is refused for that', async () => {
    const scene = replicaScene({ memoryBytes: 2 * MiB })
    const churn = scene.model('acme/churn', { probe: { packed } })
    for (let i = 0; i < 8; i++) await scene.answered(churn)
    assert.deepEqual(
      only(scene).log.filter((line) => line.startsWith('open')),
      ['open acme/churn:1'],
    )
    await scene.end()
  })
})
