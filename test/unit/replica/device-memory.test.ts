import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { deviceOutOfMemory } from '../../../src/domain/device-memory.ts'
import { GatewayError } from '../../../src/domain/errors.ts'
import type { ModelVersion } from '../../../src/domain/model-version.ts'
import type { ReplicaScene, SceneOptions } from '../../support/replica-scene.ts'
import { MiB, refused, replicaScene } from '../../support/replica-scene.ts'
import { MORE_BYTES } from '../../support/scripted-worker.ts'

/** A model of the scene is expected to take 5 MiB and 1,000 bytes of a GPU: its weights, and 4 MiB for activations. */
const EACH = 5 * MiB + 1000
const NEVER = new AbortController().signal

/** A replica on a GPU with room for that many models, and as many of them. */
function onGpu(room: number, models: number, options: SceneOptions = {}) {
  const scene = replicaScene({ deviceBytes: room * EACH, ...options })
  const [worker] = scene.workers
  assert.ok(worker && scene.device)
  const versions = Array.from({ length: models }, (_, i) => scene.model(`acme/m${i}`))
  return { scene, worker, device: scene.device, versions }
}

function outOfMemory(bytes?: number) {
  return deviceOutOfMemory('open', bytes, new Error('CUDA out of memory'))
}

function isOpen(scene: ReplicaScene, version: ModelVersion | undefined): boolean {
  return version !== undefined && scene.places(version).length > 0
}

describe('room on a GPU', () => {
  it('is made by closing the session that was used least lately; its model stays resident and opens again', async () => {
    const { scene, versions, device } = onGpu(2, 3)
    const [a, b, c] = versions
    assert.ok(a && b && c)
    for (const one of [a, b, a, c]) await scene.answered(one)
    assert.deepEqual(
      [a, b, c].map((one) => isOpen(scene, one)),
      [true, false, true],
    )
    assert.deepEqual(scene.deviceEvents, ['evicted acme/m1:1'])
    assert.equal(scene.replica.stateOf(b.key).state, 'READY')
    assert.ok(device.usedBytes <= device.budgetBytes)
    const again = await scene.answered(b)
    assert.equal(again.state, 'load', 'it had to be opened, and nothing else')
    assert.equal(scene.artifacts.log.filter((line) => line.startsWith('compile')).length, 3)
    await scene.end()
  })

  it('is waited for while those who have it are at work, and nobody is refused', async () => {
    const { scene, versions, worker } = onGpu(1, 2, { scheduler: { aheadMs: 1000 } })
    const [a, b] = versions
    assert.ok(a && b)
    await scene.answered(a)
    worker.runs.shut()
    const first = scene.ask(a)
    await scene.settle()
    const second = scene.ask(b)
    await scene.settle()
    assert.deepEqual([first.state, second.state], ['pending', 'pending'])
    assert.ok(isOpen(scene, a))
    worker.runs.open()
    await scene.settle()
    assert.deepEqual([first.state, second.state], ['hit', 'compile'])
    assert.deepEqual([isOpen(scene, a), isOpen(scene, b)], [false, true])
    await scene.end()
  })

  it('is not taken from pinned models: others get the arithmetic', async () => {
    const { scene, versions } = onGpu(1, 2)
    const [a, b] = versions
    assert.ok(a && b)
    await scene.replica.pin(a, NEVER)
    const error = await refused(scene.ask(b).answer, 'CAPACITY_EXHAUSTED')
    assert.match(
      error.message,
      /no room on the GPU: the model needs 5\.0 MiB, 5\.0 MiB of 5\.0 MiB are used, and what holds them is pinned/,
    )
    assert.ok(isOpen(scene, a))
    scene.replica.unpin(a.key)
    await scene.answered(b)
    await scene.end()
  })

  it('is refused at once to what the whole GPU cannot hold', async () => {
    const { scene } = onGpu(1, 0)
    const huge = scene.model('acme/huge', { blobs: [{ digest: 'huge', bytes: 40 * MiB }] })
    const error = await refused(scene.ask(huge).answer, 'MODEL_TOO_LARGE')
    assert.equal(error.status, 507)
    assert.match(error.message, /needs 50 MiB of the GPU, more than the whole budget of 5\.0 MiB/)
    await scene.end()
  })

  it('is charged as the driver measured it, which is asked once for each artifact', async () => {
    const { scene, versions, worker, device } = onGpu(4, 1)
    const [a] = versions
    assert.ok(a)
    worker.onDevice.set('acme/m0', 8 * MiB)
    await scene.answered(a)
    assert.equal(device.snapshot().open, 12 * MiB, 'and activations are added')
    await scene.replica.unload(a.key, NEVER)
    await scene.settle()
    assert.deepEqual([device.usedBytes, device.isKnown('acme/m0-1')], [0, true])
    worker.onDevice.set('acme/m0', 1)
    await scene.answered(a)
    assert.equal(device.snapshot().open, 12 * MiB)
    const statistics = scene.replica.statisticsOf(a)
    assert.deepEqual(
      statistics?.memory.find(({ type }) => type === 'GPU'),
      { type: 'GPU', id: 0, bytes: 12 * MiB },
    )
    await scene.end()
  })

  it('comes back with the worker that held it', async () => {
    const { scene, versions, worker, device } = onGpu(2, 2)
    for (const one of versions) await scene.answered(one)
    assert.equal(device.usedBytes, 2 * EACH)
    scene.kill(worker)
    assert.equal(device.usedBytes, 0)
    scene.respawn(worker)
    for (const one of versions) await scene.answered(one)
    await scene.end()
  })
})

describe('a GPU that is out of memory when a model is opened', () => {
  it('makes room by closing the least, and the requests are tried once more', async () => {
    const { scene, versions, worker } = onGpu(10, 3)
    const [a, b, c] = versions
    assert.ok(a && b && c)
    await scene.answered(a)
    await scene.answered(b)
    worker.refusals.set('acme/m2', [outOfMemory(MiB)])
    const answered = await scene.answered(c)
    assert.equal(answered.state, 'compile')
    assert.deepEqual(scene.deviceEvents, ['out of memory open acme/m2:1', 'evicted acme/m0:1'])
    assert.deepEqual(
      [a, b, c].map((one) => isOpen(scene, one)),
      [false, true, true],
    )
    assert.deepEqual(scene.openFailures, [], 'it is not held against the model')
    await scene.end()
  })

  it('for the second time is 507 to those who asked, and the model is tried again for the next', async () => {
    const { scene, versions, worker, device } = onGpu(10, 1)
    const [a] = versions
    assert.ok(a)
    worker.refusals.set('acme/m0', [outOfMemory(MiB), outOfMemory()])
    const both = [scene.ask(a), scene.ask(a)]
    for (const one of both) {
      const error = await refused(one.answer, 'CAPACITY_EXHAUSTED')
      assert.equal(error.status, 507)
      assert.ok((error.facts.retryAfterMs ?? 0) > 0)
    }
    assert.equal(scene.replica.stateOf(a.key).state, 'READY')
    // By what was asked for, then by a quarter.
    assert.equal(
      device.expectedBytes({ artifact: 'acme/m0-1', graph: { digest: '', bytes: 0 }, blobs: [] }),
      Math.ceil((EACH + MiB) * 1.25),
    )
    await scene.answered(a)
    await scene.end()
  })

  it('is tried once more for whoever loads it by hand, too', async () => {
    const { scene, versions, worker } = onGpu(10, 1)
    const [a] = versions
    assert.ok(a)
    worker.refusals.set('acme/m0', [outOfMemory(), outOfMemory()])
    await refused(scene.replica.load(a, NEVER), 'CAPACITY_EXHAUSTED')
    worker.refusals.set('acme/m0', [outOfMemory()])
    await scene.replica.load(a, NEVER)
    assert.ok(isOpen(scene, a))
    await scene.end()
  })
})

describe('a GPU that is out of memory when a model is run', () => {
  it('is 507 for that request; the model stays, and is charged for what it asked for', async () => {
    const { scene, versions, device } = onGpu(10, 1)
    const [a] = versions
    assert.ok(a)
    await scene.answered(a)
    const error = await refused(scene.ask(a, { body: 'too much' }).answer, 'CAPACITY_EXHAUSTED')
    assert.equal(error.status, 507)
    assert.equal(device.usedBytes, EACH + MORE_BYTES)
    assert.equal((await scene.answered(a)).state, 'hit')
    assert.deepEqual(scene.deviceEvents, ['out of memory run acme/m0:1'])
    await scene.end()
  })

  it('has its worker replaced when that happens three times within a minute', async () => {
    const { scene, versions } = onGpu(10, 1)
    const [a] = versions
    assert.ok(a)
    const runOut = () => refused(scene.ask(a, { body: 'too much' }).answer, 'CAPACITY_EXHAUSTED')
    const exhausted = () => scene.deviceEvents.filter((event) => event === 'exhausted worker-0').length
    await runOut()
    await runOut()
    await scene.clock.advance(60_000)
    await runOut()
    await runOut()
    assert.equal(exhausted(), 0, 'the first two are too long ago')
    await runOut()
    assert.equal(exhausted(), 1)
    await runOut()
    assert.equal(exhausted(), 1, 'counted from the beginning again')
    await scene.end()
  })
})

describe('a GPU that is lost', () => {
  it('ends what waits, refuses what is new and says that nothing can be run, until it is back', async () => {
    const { scene, versions, worker } = onGpu(2, 1, { scheduler: { aheadMs: 0 } })
    const [a] = versions
    assert.ok(a)
    await scene.answered(a)
    worker.runs.shut()
    const running = scene.ask(a)
    await scene.settle()
    const queued = scene.ask(a)
    await scene.settle()
    const lost = new GatewayError('DEVICE_UNAVAILABLE', 'cuda:0 cannot be used: it has fallen off the bus')
    scene.replica.setDeviceLost(lost)
    await scene.settle()
    assert.deepEqual([running.state, queued.state], ['pending', 'DEVICE_UNAVAILABLE'])
    await refused(scene.ask(a).answer, 'DEVICE_UNAVAILABLE')
    assert.equal(scene.replica.notReadyReason(), lost.message)
    scene.kill(worker)
    await scene.settle()
    assert.equal(running.state, 'WORKER_CRASHED')
    scene.replica.setDeviceLost(undefined)
    worker.runs.open()
    scene.respawn(worker)
    await scene.answered(a)
    assert.equal(scene.replica.notReadyReason(), undefined)
    await scene.end()
  })
})
