import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GatewayError } from '../../../src/domain/errors.ts'
import type { ModelVersion } from '../../../src/domain/model-version.ts'
import type { Recycled } from '../../../src/replica/recycler.ts'
import { Recycler } from '../../../src/replica/recycler.ts'
import type { WorkerBooks } from '../../../src/replica/worker-drift.ts'
import type { SceneOptions } from '../../support/replica-scene.ts'
import { MiB, replicaScene } from '../../support/replica-scene.ts'
import { ScriptedPool } from '../../support/scripted-pool.ts'
import type { ScriptedWorker } from '../../support/scripted-worker.ts'

const SLOT = 'worker-0'
const LOOK_MS = 10_000

function recyclerScene(options: SceneOptions = {}, hotModels = 10) {
  const scene = replicaScene(options)
  const pool = new ScriptedPool(scene)
  const recycled: Recycled[] = []
  const failed: string[] = []
  const last: string[] = []
  /** What the next looks find, by worker id. */
  const books = new Map<string, Partial<WorkerBooks>>()
  const recycler = new Recycler<ScriptedWorker>({
    ...scene,
    pool,
    successorDown: (id) => scene.workerDown(id),
    runLast: ({ id }) => last.push(id),
    measure: async ({ id }) => ({
      privateBytes: 0,
      startBytes: 0,
      chargedBytes: 0,
      activationBytes: 0,
      mappings: 0,
      chargedMappings: 0,
      ...books.get(id),
    }),
    limits: { bytes: 100, mappings: 1000 },
    pauseMs: 60_000,
    hotModels,
    openLimitMs: 5000,
    stopGraceMs: 1000,
    onRecycled: (one) => recycled.push(one),
    onFailed: (slot, reason, error) => failed.push(`${slot} ${reason} ${(error as Error).message}`),
  })
  return {
    ...scene,
    pool,
    recycler,
    recycled,
    failed,
    last,
    books,
    /** Models with runs: the first has one, the next two, and so on. */
    async warmed(count: number, given: Parameters<typeof scene.model>[1] = {}): Promise<ModelVersion[]> {
      const models = Array.from({ length: count }, (_, i) => scene.model(`acme/m${i}`, given))
      for (const [i, model] of models.entries()) for (let run = 0; run <= i; run++) await scene.answered(model)
      return models
    },
    async end(): Promise<void> {
      recycler.close()
      await scene.end()
    },
  }
}

describe('a worker that is recycled', () => {
  it('is replaced once its successor has the hot models open; the next request to them opens nothing', async () => {
    const scene = recyclerScene({}, 2)
    const [cold, warm, hot] = await scene.warmed(3)
    assert.ok(cold && warm && hot)
    const before = scene.home(hot)
    const done = scene.recycler.recycle(SLOT, 'asked')
    await scene.settle()
    const successor = scene.pool.worker(SLOT)
    assert.notEqual(successor, before)
    assert.deepEqual(successor.log, ['open acme/m2:1', 'open acme/m1:1'])
    assert.deepEqual(await done, { slot: SLOT, reason: 'asked', driftBytes: 0, models: 2, ms: 0 })
    assert.deepEqual(scene.pool.retired, [before])
    assert.deepEqual(scene.places(cold), [])
    assert.equal((await scene.answered(hot)).state, 'hit')
    assert.equal((await scene.answered(cold)).state, 'load')
    assert.deepEqual(successor.log.slice(2), ['run acme/m2:1 x1', 'open acme/m0:1', 'run acme/m0:1 x1'])
    assert.equal(scene.queues.homeOf(hot.key), SLOT)
    await scene.end()
  })

  it('gets all work until its successor is ready, and ends what it was given after that', async () => {
    const scene = recyclerScene()
    const [model] = await scene.warmed(1)
    assert.ok(model)
    const [before] = scene.workers
    assert.ok(before)
    scene.pool.starts.shut()
    const done = scene.recycler.recycle(SLOT, 'asked')
    assert.equal((await scene.answered(model)).state, 'hit')
    before.runs.shut()
    const slow = scene.ask(model)
    await scene.settle()
    scene.pool.starts.open()
    await done
    // The predecessor is at its run still: nobody waits for it.
    assert.equal((await scene.answered(model)).state, 'hit')
    assert.equal(slow.state, 'pending')
    assert.deepEqual(scene.pool.retired, [])
    before.runs.open()
    await scene.settle()
    assert.equal(slow.state, 'hit')
    assert.deepEqual(scene.pool.retired, [before])
    await scene.end()
  })

  it('keeps its slot when no successor comes up, and nothing is lost', async () => {
    const scene = recyclerScene()
    const [model] = await scene.warmed(1)
    assert.ok(model)
    scene.pool.starts.shut()
    const done = scene.recycler.recycle(SLOT, 'asked')
    await scene.settle()
    scene.pool.starts.fail(new GatewayError('OVERLOADED', 'no process'))
    await assert.rejects(done, { message: 'no process' })
    assert.deepEqual(scene.failed, ['worker-0 asked no process'])
    assert.equal((await scene.answered(model)).state, 'hit')
    await scene.end()
  })

  it('keeps its slot when the successor dies while it opens models, whose memory is given back', async () => {
    const scene = recyclerScene()
    const models = await scene.warmed(2)
    const used = scene.ledger.usedBytes
    scene.pool.onSuccessor = (successor) => successor.opens.shut()
    const done = scene.recycler.recycle(SLOT, 'asked')
    await scene.settle()
    const [successor] = scene.pool.successors
    successor?.opens.let()
    await scene.settle()
    assert.ok(scene.ledger.usedBytes > used)
    // One model is open in it by now, and the next being opened.
    successor?.die()
    await assert.rejects(done)
    await scene.settle()
    assert.equal(scene.ledger.usedBytes, used)
    for (const model of models) {
      assert.deepEqual(scene.places(model), [SLOT])
      assert.equal((await scene.answered(model)).state, 'hit')
    }
    await scene.end()
  })

  it('keeps its slot when the successor hangs at a model', async () => {
    const scene = recyclerScene()
    const [model] = await scene.warmed(1)
    assert.ok(model)
    scene.pool.onSuccessor = (successor) => successor.opens.shut()
    const done = assert.rejects(scene.recycler.recycle(SLOT, 'asked'))
    await scene.settle()
    await scene.clock.advance(5000)
    await done
    assert.equal((await scene.answered(model)).state, 'hit')
    await scene.end()
  })

  it('may die itself while the successor opens models: the successor has the slot all the same', async () => {
    const scene = recyclerScene()
    const [model] = await scene.warmed(1)
    assert.ok(model)
    scene.pool.starts.shut()
    const done = scene.recycler.recycle(SLOT, 'asked')
    await scene.settle()
    scene.kill(scene.pool.worker(SLOT))
    const waiting = scene.ask(model)
    await scene.settle()
    assert.equal(waiting.state, 'pending')
    scene.pool.starts.open()
    await done
    await scene.settle()
    assert.equal(waiting.state, 'load')
    await scene.end()
  })

  it('has fewer models opened ahead where there is no room for two of each, and nobody is evicted for it', async () => {
    // Three models of 1 MiB and a tensor file of 1 MiB each fill the budget but for one more session.
    const scene = recyclerScene({ memoryBytes: 7 * MiB })
    const models = await scene.warmed(3)
    const { models: ahead } = await scene.recycler.recycle(SLOT, 'asked')
    await scene.settle()
    assert.equal(ahead, 1)
    assert.ok(scene.events.every(({ kind }) => kind !== 'evicted'))
    for (const model of models) await scene.answered(model)
    await scene.end()
  })

  it('hands on a model too large for two sessions, also while it is at a last run of it', async () => {
    // A tree ensemble: nothing mapped, all private, and no memory for it twice.
    const scene = recyclerScene({ memoryBytes: 12 * MiB })
    const [tree] = await scene.warmed(1, { blobs: [], privateBytes: 8 * MiB })
    assert.ok(tree)
    const [before] = scene.workers
    assert.ok(before)
    before.runs.shut()
    const running = scene.ask(tree)
    await scene.settle()
    assert.equal((await scene.recycler.recycle(SLOT, 'asked')).models, 0)
    const next = scene.ask(tree)
    await scene.settle()
    assert.deepEqual([running.state, next.state], ['pending', 'pending'])
    before.runs.open()
    await scene.settle()
    assert.deepEqual([running.state, next.state], ['hit', 'load'])
    await scene.end()
  })

  it('can be recycled again and again, one after the other', async () => {
    const scene = recyclerScene()
    const [model] = await scene.warmed(1)
    assert.ok(model)
    for (const reason of ['first', 'second', 'third']) {
      const both = [scene.recycler.recycle(SLOT, reason), scene.answered(model)]
      await Promise.all(both)
    }
    await scene.settle()
    assert.deepEqual(
      scene.pool.retired.map(({ id }) => id),
      ['worker-0', 'worker-0b', 'worker-0'],
    )
    assert.deepEqual(scene.places(model), ['worker-0b'])
    assert.equal((await scene.answered(model)).state, 'hit')
    await scene.end()
  })
})

describe('the drift of a worker', () => {
  it('has it recycled when it was found three times in a row', async () => {
    const scene = recyclerScene()
    await scene.warmed(1)
    scene.books.set('worker-0', { privateBytes: 1000, startBytes: 300, chargedBytes: 400, activationBytes: 150 })
    await scene.clock.advance(2 * LOOK_MS)
    // A collection in between: it was no drift.
    scene.books.set('worker-0', { privateBytes: 900, startBytes: 300, chargedBytes: 400, activationBytes: 150 })
    await scene.clock.advance(LOOK_MS)
    scene.books.set('worker-0', { privateBytes: 1000, startBytes: 300, chargedBytes: 400, activationBytes: 150 })
    await scene.clock.advance(2 * LOOK_MS)
    assert.deepEqual(scene.recycled, [])
    await scene.clock.advance(LOOK_MS)
    await scene.settle()
    assert.deepEqual(
      scene.recycled.map(({ reason, driftBytes, models }) => ({ reason, driftBytes, models })),
      [{ reason: 'memory', driftBytes: 150, models: 1 }],
    )
    await scene.end()
  })

  it('in mappings is a reason of its own', async () => {
    const scene = recyclerScene()
    scene.books.set('worker-0', { mappings: 3100, chargedMappings: 2000 })
    await scene.clock.advance(3 * LOOK_MS)
    await scene.settle()
    assert.equal(scene.recycled[0]?.reason, 'mappings')
    await scene.end()
  })

  it('of several replaces them one at a time, with a pause between', async () => {
    const scene = recyclerScene({ workers: 2 })
    for (const { id } of scene.workers) scene.books.set(id, { privateBytes: 500 })
    await scene.clock.advance(3 * LOOK_MS)
    await scene.settle()
    assert.equal(scene.recycled.length, 1)
    await scene.clock.advance(50_000)
    assert.equal(scene.recycled.length, 1)
    await scene.clock.advance(2 * LOOK_MS)
    await scene.settle()
    assert.deepEqual(scene.recycled.map(({ slot }) => slot).toSorted(), ['worker-0', 'worker-1'])
    await scene.end()
  })
})

describe('a worker that is stuck', () => {
  it('has its slot given to a process that serves the others, and ends its run behind everybody else', async () => {
    const scene = recyclerScene()
    const [slow, other] = await scene.warmed(2)
    assert.ok(slow && other)
    const before = scene.home(slow)
    before.runs.shut()
    const long = scene.ask(slow)
    await scene.settle()
    await scene.clock.advance(500)
    const waiting = scene.ask(other)
    await scene.settle()
    await scene.clock.advance(250)
    assert.deepEqual(scene.stuck, [SLOT])
    const relieved = Promise.all([scene.recycler.relieve(SLOT), scene.recycler.relieve(SLOT)])
    await scene.settle()
    assert.equal(waiting.state, 'load')
    assert.deepEqual(
      scene.pool.successors.map(({ log }) => log),
      [['open acme/m1:1', 'run acme/m1:1 x1']],
    )
    assert.deepEqual([scene.last, long.state], [[before.id], 'pending'])
    before.runs.open()
    await relieved
    assert.equal(long.state, 'hit')
    assert.deepEqual(scene.pool.retired, [before])
    await scene.end()
  })

  it('is killed all the same when its run never ends, and its model is blamed', async () => {
    const scene = recyclerScene({ worker: { hangMs: 2000 } })
    const [slow] = await scene.warmed(1)
    assert.ok(slow)
    const before = scene.home(slow)
    before.runs.shut()
    const endless = scene.ask(slow)
    await scene.settle()
    const relieved = scene.recycler.relieve(SLOT)
    await scene.settle()
    await scene.clock.advance(2250)
    await relieved
    await scene.settle()
    assert.deepEqual([endless.state, before.isUp], ['WORKER_CRASHED', false])
    assert.deepEqual(scene.blamed, ['struck acme/m0:1 hang run 1'])
    await scene.end()
  })

  it('is left alone while nobody waits, and while another of its tenant is stuck beside a slot', async () => {
    const scene = recyclerScene({ workers: 2 })
    const models = await scene.warmed(16)
    const [first] = models
    assert.ok(first)
    const second = models.find((model) => scene.home(model) !== scene.home(first)) ?? assert.fail()
    const homes = [scene.home(first), scene.home(second)]
    for (const home of homes) home.runs.shut()
    const endless = [scene.ask(first)]
    await scene.settle()
    await scene.clock.advance(1000)
    assert.deepEqual(scene.stuck, [])
    endless.push(scene.ask(second), scene.ask(first))
    await scene.settle()
    await scene.clock.advance(250)
    assert.deepEqual(scene.stuck, [homes[0]?.slot])
    const relieved = scene.recycler.relieve(homes[0]?.slot ?? '')
    await scene.settle()
    const [successor] = scene.pool.successors
    successor?.runs.shut()
    endless.push(...models.map((model) => scene.ask(model)))
    await scene.settle()
    await scene.clock.advance(1000)
    assert.deepEqual(scene.stuck, [homes[0]?.slot], 'one at a time')
    for (const worker of [...homes, successor]) worker?.runs.open()
    await relieved
    await scene.settle()
    await scene.clock.advance(20)
    assert.ok(endless.every(({ state }) => state === 'hit' || state === 'load'))
    await scene.end()
  })
})
