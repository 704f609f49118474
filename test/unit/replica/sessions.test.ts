import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GatewayError } from '../../../src/domain/errors.ts'
import type { Asked, ReplicaScene } from '../../support/replica-scene.ts'
import { MiB, replicaScene } from '../../support/replica-scene.ts'

const states = (all: readonly Asked[]) => all.map(({ state }) => state)
const invalid = () => new GatewayError('ARTIFACT_INVALID', 'not a model')
const passing = () => new GatewayError('INTERNAL', 'out of file descriptors')

function only(scene: ReplicaScene) {
  const [worker] = scene.workers
  assert.ok(worker)
  return worker
}

describe('a session that cannot be opened', () => {
  it('fails its entry and every request that waits for it; after the back-off the model is loaded again', async () => {
    const scene = replicaScene({ scheduler: { aheadMs: 0 } })
    const churn = scene.model('acme/churn')
    only(scene).broken.set('acme/churn', passing())
    only(scene).opens.shut()
    const first = scene.ask(churn)
    await scene.settle()
    const queued = [scene.ask(churn), scene.ask(churn)]
    await scene.settle()
    only(scene).opens.open()
    await scene.settle()
    assert.deepEqual(states([first, ...queued]), ['INTERNAL', 'INTERNAL', 'INTERNAL'])
    assert.deepEqual(scene.openFailures, ['acme/churn:1 INTERNAL'], 'those in the queue do not try again')
    assert.equal(scene.replica.stateOf(churn.key).state, 'UNAVAILABLE')
    assert.equal(scene.ledger.usedBytes, 0)
    only(scene).broken.clear()
    const soon = scene.ask(churn)
    await scene.settle()
    assert.equal(soon.state, 'MODEL_LOAD_FAILED')
    await scene.clock.advance(1000)
    assert.equal((await scene.answered(churn)).state, 'load')
    await scene.end()
  })

  it('for its bytes is not tried again for requests, only when it is loaded by hand', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    only(scene).broken.set('acme/churn', invalid())
    const first = scene.ask(churn)
    await scene.settle()
    await scene.clock.advance(3_600_000)
    const later = scene.ask(churn)
    await scene.settle()
    assert.deepEqual(states([first, later]), ['ARTIFACT_INVALID', 'ARTIFACT_INVALID'])
    assert.equal(only(scene).log.length, 1)
    only(scene).broken.clear()
    await scene.replica.load(churn, new AbortController().signal)
    assert.equal((await scene.answered(churn)).state, 'hit')
    await scene.end()
  })

  it('because its files were damaged is compiled again for the next request', async () => {
    const scene = replicaScene({ maxMappings: 3 })
    const [churn, fraud] = [scene.model('acme/churn'), scene.model('acme/fraud')]
    await scene.answered(churn)
    await scene.answered(fraud)
    await scene.clock.advance(10_000)
    scene.artifacts.damaged.add('acme/churn-1')
    const one = scene.ask(churn)
    await scene.settle()
    assert.equal(one.state, 'MODEL_LOADING')
    assert.deepEqual(scene.openFailures, ['acme/churn:1 MODEL_LOADING'])
    assert.equal((await scene.answered(churn)).state, 'compile')
    await scene.end()
  })

  it('when it is loaded by hand fails its entry too', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    only(scene).broken.set('acme/churn', passing())
    await assert.rejects(scene.replica.load(churn, new AbortController().signal), { code: 'INTERNAL' })
    await scene.settle()
    assert.equal(scene.replica.stateOf(churn.key).state, 'UNAVAILABLE')
    await scene.end()
  })
})

describe('memory', () => {
  it("is free for a load only when the evicted model's session is closed, and the load then goes on", async () => {
    const scene = replicaScene({ memoryBytes: 5 * MiB })
    const [a, b, c] = ['a', 'b', 'c'].map((name) => scene.model(`acme/${name}`))
    assert.ok(a && b && c)
    await scene.answered(a)
    await scene.answered(b)
    only(scene).closes.shut()
    const one = scene.ask(c)
    await scene.settle()
    assert.equal(scene.replica.stateOf(a.key).state, 'UNLOADING')
    assert.equal(scene.replica.stateOf(c.key).state, 'LOADING')
    assert.equal(scene.table.pending.claims, 1)
    assert.ok(scene.ledger.usedBytes <= 5 * MiB)
    only(scene).closes.open()
    await scene.settle()
    assert.equal(one.state, 'compile')
    assert.equal(scene.replica.stateOf(a.key).state, 'UNAVAILABLE')
    assert.equal(only(scene).sessions.size, 2)
    await scene.end()
  })

  it('is waited for while a model answers, and not taken from it', async () => {
    const scene = replicaScene({ memoryBytes: 3 * MiB })
    const [a, b] = [scene.model('acme/a'), scene.model('acme/b')]
    await scene.answered(a)
    only(scene).runs.shut()
    const running = scene.ask(a)
    await scene.settle()
    const waiting = scene.ask(b)
    await scene.settle()
    only(scene).runs.open()
    await scene.settle()
    assert.equal(running.state, 'hit')
    assert.equal(waiting.state, 'pending')
    await scene.clock.advance(1000)
    await scene.settle()
    assert.equal(waiting.state, 'compile')
    await scene.end()
  })

  it('is refused when a model answers for too long, and what was compiled is kept', async () => {
    const scene = replicaScene({ memoryBytes: 3 * MiB })
    const [a, b] = [scene.model('acme/a'), scene.model('acme/b')]
    await scene.answered(a)
    only(scene).runs.shut()
    const running = scene.ask(a)
    await scene.settle()
    const refused = scene.ask(b)
    await scene.settle()
    await scene.clock.advance(2000)
    assert.equal(refused.state, 'CAPACITY_EXHAUSTED')
    only(scene).runs.open()
    await scene.settle()
    assert.equal(running.state, 'hit')
    assert.equal((await scene.answered(b)).state, 'load')
    await scene.end()
  })

  it('that a session turned out to take beyond its estimate is taken from the others', async () => {
    const scene = replicaScene({ memoryBytes: 5 * MiB })
    const [a, b] = [scene.model('acme/a'), scene.model('acme/b')]
    await scene.answered(a)
    only(scene).measured.set('acme/b', 3 * MiB)
    await scene.answered(b)
    await scene.settle()
    assert.equal(scene.replica.stateOf(a.key).state, 'UNAVAILABLE')
    assert.equal(scene.ledger.usedBytes, 4 * MiB)
    await scene.end()
  })

  it('of a request that asks for a model on its way out is waited for, and the model comes back', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    await scene.answered(churn)
    only(scene).closes.shut()
    const unloaded = scene.replica.unload(churn.key, new AbortController().signal)
    const one = scene.ask(churn)
    await scene.settle()
    assert.equal(one.state, 'pending')
    only(scene).closes.open()
    await unloaded
    await scene.settle()
    assert.equal(one.state, 'load')
    await scene.end()
  })
})

describe('mappings', () => {
  it('that are short close the least recently used session of the worker, not its entry', async () => {
    const scene = replicaScene({ maxMappings: 6 })
    const [a, b, c] = ['a', 'b', 'c'].map((name) => scene.model(`acme/${name}`))
    assert.ok(a && b && c)
    await scene.answered(a)
    await scene.answered(b)
    await scene.answered(a)
    await scene.answered(c)
    assert.deepEqual([scene.places(a), scene.places(b), scene.places(c)], [['worker-0'], [], ['worker-0']])
    assert.equal(scene.replica.stateOf(b.key).state, 'READY')
    assert.equal((await scene.answered(b)).state, 'load')
    await scene.end()
  })

  it('of a session that is being closed are back when that is done: it is then opened again', async () => {
    const scene = replicaScene({ maxMappings: 3 })
    const churn = scene.model('acme/churn')
    await scene.answered(churn)
    const [placement] = scene.placements.ofKey(churn.key)
    assert.ok(placement)
    only(scene).closes.shut()
    const closed = scene.sessions.close(placement, 'test')
    const one = scene.ask(churn)
    await scene.settle()
    assert.equal(one.state, 'pending')
    only(scene).closes.open()
    await closed
    await scene.settle()
    assert.equal(one.state, 'load')
    await scene.end()
  })

  it('of sessions at work are not taken: who needs them is refused for now', async () => {
    const scene = replicaScene({ maxMappings: 3, scheduler: { aheadMs: 1000 } })
    const [a, b] = [scene.model('acme/a'), scene.model('acme/b')]
    await scene.answered(a)
    only(scene).runs.shut()
    const running = scene.ask(a)
    await scene.settle()
    const short = scene.ask(b)
    await scene.settle()
    assert.equal(short.state, 'CAPACITY_EXHAUSTED')
    only(scene).runs.open()
    await scene.settle()
    assert.equal(running.state, 'hit')
    await scene.answered(b)
    await scene.end()
  })
})

/** A model whose home is busy for long, with more requests than it can take; a second worker is free. */
async function crowded(given: Parameters<ReplicaScene['model']>[1], memoryBytes?: number) {
  const scene = replicaScene({ workers: 2, ...(memoryBytes !== undefined && { memoryBytes }) })
  const model = scene.model('acme/hot', given)
  await scene.answered(model)
  const home = scene.home(model)
  home.runs.shut()
  const all = [scene.ask(model)]
  await scene.settle()
  for (let i = 0; i < 12; i++) all.push(scene.ask(model))
  await scene.settle()
  return { scene, model, home, away: scene.away(model), all }
}

describe('a second worker', () => {
  it('opens a hot model too when waiting at home takes longer', async () => {
    const { scene, model, home, all } = await crowded({})
    assert.deepEqual(scene.places(model), ['worker-0', 'worker-1'])
    assert.ok(states(all).includes('load'))
    home.runs.open()
    await scene.settle()
    for (const one of all) assert.equal(one.text, `acme/hot-1.onnx ${one.body}`)
    await scene.end()
  })

  it('leaves it where it is when there is no memory for another session: its requests wait at home', async () => {
    const { scene, model, home, all } = await crowded({}, 2 * MiB)
    assert.equal(scene.places(model).length, 1)
    assert.equal(scene.residents.get(model.key)?.homeUntil, 1000, 'nobody tries again and again')
    home.runs.open()
    await scene.settle()
    assert.deepEqual(new Set(states(all)), new Set(['hit']))
    await scene.end()
  })

  it('waits for the memory of a model that is evicted for it', async () => {
    const scene = replicaScene({ workers: 2, memoryBytes: 4 * MiB })
    const hot = scene.model('acme/hot')
    const others = Array.from({ length: 10 }, (_, i) => scene.model(`acme/cold${i}`))
    const cold = others.find((other) => scene.home(other) !== scene.home(hot))
    assert.ok(cold)
    await scene.answered(cold)
    await scene.answered(hot)
    for (const worker of scene.workers) worker.closes.shut()
    scene.home(hot).runs.shut()
    const all = [scene.ask(hot)]
    await scene.settle()
    for (let i = 0; i < 12; i++) all.push(scene.ask(hot))
    await scene.settle()
    assert.equal(scene.replica.stateOf(cold.key).state, 'UNLOADING')
    assert.equal(scene.places(hot).length, 1)
    for (const worker of scene.workers) worker.closes.open()
    await scene.settle()
    assert.equal(scene.places(hot).length, 2)
    scene.home(hot).runs.open()
    await scene.settle()
    assert.ok(all.every(({ ok }) => ok !== undefined))
    await scene.end()
  })

  it('never opens a model that would be held twice in full', async () => {
    const { scene, model, home, all } = await crowded({ blobs: [], privateBytes: 5 * MiB })
    assert.equal(scene.places(model).length, 1)
    home.runs.open()
    await scene.settle()
    assert.deepEqual(new Set(states(all)), new Set(['hit']))
    await scene.end()
  })

  it('that becomes the home while such a model is being opened elsewhere hands it back', async () => {
    const scene = replicaScene({ workers: 2 })
    const tree = scene.model('acme/tree', { blobs: [], privateBytes: 5 * MiB })
    const home = scene.home(tree)
    await scene.answered(tree)
    scene.kill(home)
    await scene.answered(tree)
    scene.respawn(home)
    await scene.clock.advance(10_000)
    const [placement] = scene.placements.ofKey(tree.key)
    assert.ok(placement)
    assert.notEqual(placement.workerId, home.id)
    await scene.sessions.close(placement, 'test')
    // Both workers open it in the same moment: the home by rendezvous, and one that was given it before.
    scene.artifacts.checks.shut()
    const away = scene.away(tree)
    const opened = Promise.allSettled([
      scene.replica.load(tree, new AbortController().signal),
      openAt(scene, tree.key, away.id),
    ])
    await scene.settle()
    scene.artifacts.checks.open()
    const [first, second] = await opened
    assert.deepEqual([first.status, second.status].toSorted(), ['fulfilled', 'rejected'])
    assert.equal(scene.places(tree).length, 1)
    await scene.answered(tree)
    assert.equal(scene.places(tree).length, 1)
    await scene.end()
  })

  it('takes nothing of a home that is just as free', async () => {
    // A home may take all of it at once.
    const scene = replicaScene({ workers: 2, scheduler: { minBatchMs: 100 } })
    const models = Array.from({ length: 8 }, (_, i) => scene.model(`acme/m${i}`))
    for (const model of models) await scene.answered(model)
    for (const model of models) {
      // Together they would wait for longer than an open takes, if their home were busy.
      for (let i = 0; i < 8; i++) scene.ask(model)
      await scene.settle()
      assert.deepEqual(scene.places(model), [scene.home(model).id])
    }
    await scene.end()
  })
})

function openAt(scene: ReplicaScene, key: string, workerId: string): Promise<unknown> {
  const worker = scene.workers.find(({ id }) => id === workerId)
  assert.ok(worker)
  return scene.sessions.open(key, worker)
}
