import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ReplicaRequest } from '../../../src/replica/request.ts'
import { replicaScene } from '../../support/replica-scene.ts'

describe('a deadline', () => {
  it('that passes during a load says so, and the load goes on', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    scene.artifacts.compiles.shut()
    const one = scene.ask(churn, { timeoutMs: 100 })
    await scene.clock.advance(99)
    assert.equal(one.state, 'pending')
    await scene.clock.advance(1)
    assert.equal(one.state, 'DEADLINE_EXCEEDED')
    assert.match(one.error?.message ?? '', /deadline of 100 ms passed while waiting for its model to load/)
    assert.equal(scene.table.pending.waiters, 0)
    scene.artifacts.compiles.open()
    await scene.settle()
    assert.equal((await scene.answered(churn)).state, 'load', 'nobody has opened it yet, but it is resident')
    assert.equal(scene.artifacts.log.filter((line) => line.startsWith('compile')).length, 1)
    await scene.end()
  })

  it('that passes in the queue takes the request out before it reaches a worker', async () => {
    const scene = replicaScene({ workers: 1 })
    const [churn, fraud] = [scene.model('acme/churn'), scene.model('acme/fraud')]
    await scene.answered(churn)
    await scene.answered(fraud)
    const worker = scene.home(churn)
    worker.runs.shut()
    const running = scene.ask(churn, { body: 'long' })
    await scene.settle()
    const queued = scene.ask(fraud, { timeoutMs: 50 })
    await scene.clock.advance(50)
    assert.equal(queued.state, 'DEADLINE_EXCEEDED')
    assert.match(queued.error?.message ?? '', /while waiting for a worker/)
    assert.equal(scene.queues.depth, 0)
    worker.runs.open()
    await scene.settle()
    assert.equal(running.state, 'hit')
    assert.equal(worker.log.filter((line) => line.startsWith('run acme/fraud')).length, 1)
    await scene.end()
  })

  it('that passes during a run ends the wait; the late answer is thrown away and the model stays leased until it is there', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    await scene.answered(churn)
    const worker = scene.home(churn)
    worker.runs.shut()
    const one = scene.ask(churn, { timeoutMs: 100 })
    await scene.settle()
    await scene.clock.advance(100)
    assert.equal(one.state, 'DEADLINE_EXCEEDED')
    assert.match(one.error?.message ?? '', /while waiting for its answer, after queue 0 ms/)
    assert.equal(scene.table.pending.leases, 1)
    assert.equal(scene.occupancy.total.requests, 1, 'what a worker still has counts')
    worker.runs.open()
    await scene.settle()
    assert.equal(scene.occupancy.total.requests, 0)
    assert.equal(one.outcomes, 1)
    assert.equal(scene.table.pending.leases, 0)
    await scene.end()
  })

  it("is the model's own where the request brings none, and the server's where the model has none", async () => {
    const scene = replicaScene()
    const own = scene.model('acme/own', { deadlineMs: 10 })
    const plain = scene.model('acme/plain')
    scene.artifacts.compiles.shut()
    const [first, second] = [scene.ask(own), scene.ask(plain)]
    await scene.clock.advance(10)
    assert.deepEqual([first.state, second.state], ['DEADLINE_EXCEEDED', 'pending'])
    await scene.clock.advance(29_990)
    assert.equal(second.state, 'DEADLINE_EXCEEDED')
    scene.artifacts.compiles.open()
    await scene.end()
  })

  it('of a request that never got a worker is told by its own timer', async () => {
    const scene = replicaScene({ workers: 0 })
    const one = scene.ask(scene.model('acme/churn'), { timeoutMs: 100 })
    await scene.settle()
    await scene.clock.advance(100)
    assert.equal(one.state, 'DEADLINE_EXCEEDED')
    await scene.end()
  })
})

describe('a client that leaves', () => {
  it('during a load ends only its own wait', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    scene.artifacts.compiles.shut()
    const [first, second] = [scene.ask(churn), scene.ask(churn)]
    await scene.settle()
    first.leave()
    await scene.settle()
    assert.deepEqual([first.state, second.state], ['CLIENT_GONE', 'pending'])
    scene.artifacts.compiles.open()
    await scene.settle()
    assert.equal(second.state, 'wait')
    await scene.end()
  })

  it('in the queue leaves no trace there', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    await scene.answered(churn)
    scene.workers[0]?.runs.shut()
    const running = scene.ask(churn)
    await scene.settle()
    const queued = scene.ask(churn)
    await scene.settle()
    assert.equal(scene.table.pending.leases, 2)
    queued.leave()
    await scene.settle()
    assert.equal(queued.state, 'CLIENT_GONE')
    assert.equal(scene.table.pending.leases, 1)
    assert.equal(scene.queues.depth, 0)
    scene.workers[0]?.runs.open()
    await scene.settle()
    assert.equal(running.state, 'hit')
    await scene.end()
  })

  it('during its run is told nothing, and others of the hand-over are', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn', { probe: {} })
    await scene.answered(churn)
    scene.workers[0]?.runs.shut()
    const [first, second] = [scene.ask(churn), scene.ask(churn)]
    await scene.settle()
    first.leave()
    scene.workers[0]?.runs.open()
    await scene.settle()
    assert.deepEqual([first.state, second.state], ['CLIENT_GONE', 'hit'])
    await scene.end()
  })

  it('in the moment its model became ready is not queued', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    await scene.answered(churn)
    const content = { body: [], bodyBytes: 0 }
    const request = new ReplicaRequest(churn, content, 100, AbortSignal.abort(), scene.clock)
    const lease = scene.table.acquire(churn.key)
    assert.ok(lease)
    scene.dispatcher.enqueue(request, lease)
    assert.equal(scene.dispatcher.pending, 0)
    assert.equal(scene.table.pending.leases, 0)
    assert.equal(scene.queues.depth, 0)
    await assert.rejects(request.outcome, { code: 'CLIENT_GONE' })
    await scene.end()
  })

  it('before it was heard loads nothing', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    await assert.rejects(
      scene.replica.infer(churn, {
        requestId: 'r',
        ref: { name: churn.name },
        body: [],
        bodyBytes: 0,
        ifAbsent: 'load',
        signal: AbortSignal.abort(),
      }),
      { code: 'CLIENT_GONE' },
    )
    await scene.settle()
    assert.deepEqual(scene.artifacts.log, [])
    await scene.end()
  })
})

describe('a model that waits for company', () => {
  it('runs when its oldest request has waited as long as its owner allows, not earlier and not later', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn', { probe: {}, batching: { maxDelayMs: 7 } })
    const first = scene.ask(churn)
    await scene.settle()
    await scene.clock.advance(4)
    const second = scene.ask(churn)
    await scene.clock.advance(2)
    assert.equal(first.state, 'pending')
    await scene.clock.advance(1)
    await scene.settle()
    assert.deepEqual([first.ok?.served.batchRows, second.ok?.served.batchRows], [2, 2])
    await scene.end()
  })

  it('runs at once when there is a full run', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn', { probe: {}, batching: { maxDelayMs: 500, maxRows: 2 } })
    const all = [scene.ask(churn), scene.ask(churn)]
    await scene.settle()
    assert.deepEqual(
      all.map(({ ok }) => ok?.served.batchRows),
      [2, 2],
    )
    await scene.end()
  })

  it('does not wait when its requests may not be stacked', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn', { batching: { maxDelayMs: 500 } })
    await scene.answered(churn)
    await scene.end()
  })

  it('lets others run meanwhile', async () => {
    const scene = replicaScene()
    const slow = scene.model('acme/slow', { probe: {}, batching: { maxDelayMs: 500 } })
    const waiting = scene.ask(slow)
    await scene.settle()
    await scene.answered(scene.model('acme/churn'))
    assert.equal(waiting.state, 'pending')
    waiting.leave()
    await scene.end()
  })
})
