import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ModelVersion } from '../../../src/domain/model-version.ts'
import type { Asked, ReplicaScene } from '../../support/replica-scene.ts'
import { replicaScene } from '../../support/replica-scene.ts'

/** One worker with several models open, so that it can be given hand-overs of each ahead. */
async function busyScene(count: number): Promise<{ scene: ReplicaScene; models: ModelVersion[] }> {
  const scene = replicaScene({ scheduler: { aheadMs: 1000 } })
  const models = Array.from({ length: count }, (_, i) => scene.model(`acme/m${i}`))
  for (const model of models) await scene.answered(model)
  return { scene, models }
}

function only(scene: ReplicaScene) {
  const [worker] = scene.workers
  assert.ok(worker)
  return worker
}

const states = (all: readonly Asked[]) => all.map(({ state }) => state)

describe('a worker that dies', () => {
  it('takes the hand-over it was running with it; those sent ahead run in its successor', async () => {
    const { scene, models } = await busyScene(3)
    const worker = only(scene)
    worker.runs.shut()
    const all = models.map((model) => scene.ask(model))
    await scene.settle()
    assert.equal(scene.queues.depth, 0, 'all are sent')
    scene.kill(worker)
    await scene.settle()
    assert.deepEqual(states(all), ['WORKER_CRASHED', 'pending', 'pending'])
    worker.runs.open()
    scene.respawn(worker)
    await scene.settle()
    assert.deepEqual(states(all), ['WORKER_CRASHED', 'load', 'load'])
    for (const [i, one] of all.slice(1).entries()) assert.equal(one.text, `acme/m${i + 1}-1.onnx ${one.body}`)
    await scene.end()
  })

  it('gives back what waits behind a run out of proportion long before that counts as hanging, and is sent no more', async () => {
    const scene = replicaScene({ workers: 2, scheduler: { aheadMs: 1000 } })
    const all = Array.from({ length: 12 }, (_, i) => scene.model(`acme/m${i}`))
    for (const model of all) await scene.answered(model)
    const [first] = all
    assert.ok(first)
    const stuck = scene.home(first)
    const neighbours = all.filter((model) => model !== first && scene.home(model) === stuck)
    assert.ok(neighbours.length > 0)
    stuck.runs.shut()
    const culprit = scene.ask(first, { timeoutMs: 500_000 })
    const behind = neighbours.map((model) => scene.ask(model, { timeoutMs: 500_000 }))
    await scene.settle()
    assert.equal(scene.queues.depth, 0, 'all are sent')
    await scene.clock.advance(3000)
    await scene.settle()
    assert.deepEqual(new Set(states(behind)), new Set(['load']), 'another worker opened and ran them')
    assert.deepEqual([culprit.state, scene.hangs, stuck.isUp], ['pending', [], true])
    const late = neighbours.map((model) => scene.ask(model))
    await scene.settle()
    await scene.clock.advance(1000)
    await scene.settle()
    assert.deepEqual(new Set(states(late)), new Set(['hit']))
    stuck.runs.open()
    await scene.settle()
    assert.equal(culprit.state, 'hit')
    await scene.end()
  })

  it('is killed when a run is out of all proportion, however long its clients would wait', async () => {
    const { scene, models } = await busyScene(2)
    const worker = only(scene)
    worker.runs.shut()
    const all = models.map((model) => scene.ask(model, { timeoutMs: 500_000 }))
    await scene.settle()
    await scene.clock.advance(30_000)
    assert.deepEqual([scene.hangs, worker.isUp], [[], true])
    await scene.clock.advance(1000)
    await scene.settle()
    assert.deepEqual([scene.hangs, worker.isUp], [['worker-0'], false])
    assert.deepEqual(states(all), ['WORKER_CRASHED', 'pending'])
    scene.workerDown(worker.id)
    worker.runs.open()
    scene.respawn(worker)
    await scene.settle()
    assert.deepEqual(states(all), ['WORKER_CRASHED', 'load'])
    await scene.end()
  })

  it('under one request fails it, and names the model', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    await scene.answered(churn)
    only(scene).runs.shut()
    const one = scene.ask(churn)
    await scene.settle()
    scene.kill(only(scene))
    await scene.settle()
    assert.equal(one.state, 'WORKER_CRASHED')
    assert.equal(one.error?.facts.model, 'acme/churn')
    assert.deepEqual(scene.spare.log, [], 'it was alone already')
    await scene.end()
  })

  it('is sent nothing between its death and the news of its exit, so that no replay is used up', async () => {
    const { scene, models } = await busyScene(2)
    const worker = only(scene)
    worker.runs.shut()
    const all = models.map((model) => scene.ask(model))
    await scene.settle()
    worker.die()
    for (let looks = 0; looks < 10; looks++) {
      await scene.clock.advance(20)
      await scene.settle()
    }
    const late = scene.ask(models[0] ?? assert.fail())
    await scene.settle()
    assert.deepEqual(states([...all, late]), ['WORKER_CRASHED', 'pending', 'pending'])
    scene.workerDown(worker.id)
    worker.runs.open()
    scene.respawn(worker)
    await scene.settle()
    assert.deepEqual(states([...all, late]), ['WORKER_CRASHED', 'load', 'load'])
    await scene.end()
  })

  it('while it closes a session is blamed on no hand-over, sent or not', async () => {
    const scene = replicaScene({ maxMappings: 6, scheduler: { aheadMs: 1000 } })
    const models = ['a', 'b', 'c'].map((name) => scene.model(`acme/${name}`))
    const [first, second, third] = models
    assert.ok(first && second && third)
    await scene.answered(first)
    await scene.answered(second)
    const worker = only(scene)
    // The third needs the first's mappings, whose close is held: given before the second, and sent after it.
    worker.closes.shut()
    const waiting = scene.ask(third)
    await scene.settle()
    const running = scene.ask(second)
    await scene.settle()
    assert.equal(scene.queues.depth, 0)
    scene.kill(worker)
    worker.closes.open()
    await scene.settle()
    assert.deepEqual(states([waiting, running]), ['pending', 'pending'], 'the process was at the close')
    scene.respawn(worker)
    await scene.settle()
    assert.equal(waiting.text, 'acme/c-1.onnx body-2')
    assert.equal(running.text, 'acme/b-1.onnx body-3')
    assert.deepEqual(scene.blamed, [])
    await scene.end()
  })

  it('before anything was sent to it is not blamed on anyone', async () => {
    const scene = replicaScene({ maxMappings: 3 })
    const [a, b] = [scene.model('acme/a'), scene.model('acme/b')]
    await scene.answered(a)
    const worker = only(scene)
    worker.closes.shut()
    const waiting = scene.ask(b)
    await scene.settle()
    scene.kill(worker)
    worker.closes.open()
    await scene.settle()
    assert.equal(waiting.state, 'pending')
    scene.respawn(worker)
    await scene.settle()
    assert.equal(waiting.text, `acme/b-1.onnx ${waiting.body}`)
    await scene.end()
  })

  it("three times before a request could begin is that request's end", async () => {
    const { scene, models } = await busyScene(5)
    const worker = only(scene)
    worker.runs.shut()
    worker.opens.shut()
    const victim = models.at(-1) ?? assert.fail()
    const killers: Asked[] = []
    // Each time another hand-over is sent first, and taken for the one the worker died under.
    killers.push(...models.slice(0, -1).map((model) => scene.ask(model)))
    const one = scene.ask(victim)
    await scene.settle()
    for (let death = 0; death < 3; death++) {
      assert.equal(one.state, 'pending', `after ${death} deaths`)
      scene.kill(worker)
      await scene.settle()
      scene.respawn(worker)
      await scene.settle()
    }
    assert.equal(one.state, 'OVERLOADED', 'others died of it, and nobody should hold that against its model')
    worker.runs.open()
    worker.opens.open()
    await scene.settle()
    assert.ok(killers.every(({ outcomes }) => outcomes === 1))
    await scene.end()
  })

  it('gives back the memory of its placements and keeps the entries', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    await scene.answered(churn)
    const used = scene.ledger.usedBytes
    scene.kill(only(scene))
    assert.equal(scene.placements.size, 0)
    assert.equal(scene.ledger.placementsOf(churn.key), 0)
    assert.equal(scene.ledger.usedBytes, used, 'a first placement stays promised, so that it can be opened again')
    assert.equal(scene.replica.stateOf(churn.key).state, 'READY')
    scene.respawn(only(scene))
    assert.equal((await scene.answered(churn)).state, 'load')
    await scene.end()
  })

  it('while it opens a model fails the requests that wait for it, and the next one opens it again', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    only(scene).opens.shut()
    const one = scene.ask(churn)
    await scene.settle()
    scene.kill(only(scene))
    await scene.settle()
    assert.equal(one.state, 'WORKER_CRASHED')
    assert.deepEqual(scene.openFailures, [], 'its files are in order')
    assert.deepEqual(scene.blamed, ['struck acme/churn:1 crash open 1'])
    only(scene).opens.open()
    scene.respawn(only(scene))
    assert.equal((await scene.answered(churn)).state, 'load')
    await scene.end()
  })

  it('while it closes a session has given its memory back', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    await scene.answered(churn)
    only(scene).closes.shut()
    const gone = scene.replica.unload(churn.key, new AbortController().signal)
    await scene.settle()
    scene.kill(only(scene))
    await gone
    assert.equal(scene.ledger.usedBytes, 0)
    scene.respawn(only(scene))
    only(scene).closes.open()
    await scene.end()
  })

  it('leaves its queue to the others', async () => {
    const scene = replicaScene({ workers: 2 })
    const churn = scene.model('acme/churn')
    await scene.answered(churn)
    const home = scene.home(churn)
    home.runs.shut()
    const running = scene.ask(churn)
    await scene.settle()
    const queued = scene.ask(churn)
    await scene.settle()
    scene.kill(home)
    await scene.settle()
    assert.deepEqual(states([running, queued]), ['WORKER_CRASHED', 'load'])
    await scene.end()
  })

  it('and comes back at once does not mix up its two lives', async () => {
    const scene = replicaScene({ maxMappings: 3 })
    const [a, b] = [scene.model('acme/a'), scene.model('acme/b')]
    await scene.answered(a)
    const worker = only(scene)
    worker.closes.shut()
    // Waits for the first one's mappings in the first life; goes on in the second.
    const one = scene.ask(b)
    await scene.settle()
    scene.kill(worker)
    worker.closes.open()
    scene.respawn(worker)
    await scene.settle()
    assert.equal(one.text, `acme/b-1.onnx ${one.body}`)
    await scene.end()
  })
})
