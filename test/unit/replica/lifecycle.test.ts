import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GatewayError } from '../../../src/domain/errors.ts'
import { modelVersion } from '../../support/model-version.ts'
import { refused, replicaScene } from '../../support/replica-scene.ts'

const never = new AbortController().signal

describe('loading by hand', () => {
  it('resolves when the model is open, so that the first request is a hit', async () => {
    const scene = replicaScene({ workers: 2 })
    const churn = scene.model('acme/churn')
    await scene.replica.load(churn, never)
    assert.deepEqual(scene.places(churn), [scene.home(churn).id])
    assert.equal((await scene.answered(churn)).state, 'hit')
    await scene.end()
  })

  it('tries at once what failed before', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    scene.artifacts.fetches.shut()
    const one = scene.ask(churn)
    await scene.settle()
    scene.artifacts.fetches.fail(new GatewayError('STORE_UNAVAILABLE', 'gone'))
    scene.artifacts.fetches.open()
    await scene.settle()
    assert.equal(one.state, 'STORE_UNAVAILABLE')
    await scene.replica.load(churn, never)
    await scene.end()
  })

  it('without a worker says so, with the names of the model', async () => {
    const scene = replicaScene({ workers: 0 })
    const error = await refused(scene.replica.load(scene.model('acme/churn'), never), 'OVERLOADED')
    assert.equal(error.facts.model, 'acme/churn')
    await scene.end()
  })

  it('that its worker does not survive is WORKER_CRASHED', async () => {
    const scene = replicaScene()
    const [worker] = scene.workers
    assert.ok(worker)
    worker.opens.shut()
    const loaded = refused(scene.replica.load(scene.model('acme/churn'), never), 'WORKER_CRASHED')
    await scene.settle()
    scene.kill(worker)
    await loaded
    await scene.end()
  })
})

describe('unloading', () => {
  it('waits for the requests inside and gives the memory back', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    await scene.answered(churn)
    scene.workers[0]?.runs.shut()
    const running = scene.ask(churn)
    await scene.settle()
    let isGone = false
    const gone = scene.replica.unload(churn.key, never).then(() => {
      isGone = true
      return isGone
    })
    await scene.settle()
    assert.equal(isGone, false)
    assert.equal(scene.replica.stateOf(churn.key).state, 'UNLOADING')
    scene.workers[0]?.runs.open()
    await gone
    assert.equal(running.state, 'hit')
    assert.equal(scene.ledger.usedBytes, 0)
    assert.equal(scene.workers[0]?.sessions.size, 0)
    await scene.end()
  })

  it('of a model that is being loaded waits for the load, answers who asked, and unloads it', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    scene.artifacts.compiles.shut()
    const one = scene.ask(churn)
    await scene.settle()
    const gone = scene.replica.unload(churn.key, never)
    scene.artifacts.compiles.open()
    await gone
    await scene.settle()
    assert.equal(one.state, 'compile')
    assert.equal(scene.replica.stateOf(churn.key).state, 'UNAVAILABLE')
    await scene.end()
  })

  it('of a load that fails is done', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    scene.artifacts.fetches.shut()
    const one = scene.ask(churn)
    await scene.settle()
    const gone = scene.replica.unload(churn.key, never)
    scene.artifacts.fetches.fail(new GatewayError('STORE_UNAVAILABLE', 'gone'))
    await gone
    assert.equal(one.state, 'STORE_UNAVAILABLE')
    await scene.end()
  })

  it('of what is not here is nothing', async () => {
    const scene = replicaScene()
    await scene.replica.unload(scene.model('acme/churn').key, never)
    await scene.end()
  })

  it('of a pinned model is refused until its pin is gone', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    await scene.replica.pin(churn, never)
    await refused(scene.replica.unload(churn.key, never), 'CAPACITY_EXHAUSTED')
    scene.replica.unpin(churn.key)
    await scene.replica.unload(churn.key, never)
    assert.equal(scene.replica.stateOf(churn.key).state, 'UNAVAILABLE')
    await scene.end()
  })

  it('that nobody waits for any more goes on', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    await scene.answered(churn)
    scene.workers[0]?.closes.shut()
    const abort = new AbortController()
    const gone = assert.rejects(scene.replica.unload(churn.key, abort.signal))
    abort.abort()
    await gone
    scene.workers[0]?.closes.open()
    await scene.settle()
    assert.equal(scene.ledger.usedBytes, 0)
    await scene.end()
  })
})

describe('a pin', () => {
  it('is taken back when the load fails, and kept when it held before', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    const [worker] = scene.workers
    assert.ok(worker)
    worker.broken.set('acme/churn', new GatewayError('INTERNAL', 'as the test says'))
    await refused(scene.replica.pin(churn, never), 'INTERNAL')
    assert.equal(scene.table.isPinned(churn.key), false)
    worker.broken.clear()
    await scene.settle()
    await scene.replica.pin(churn, never)
    scene.kill(worker)
    await refused(scene.replica.pin(churn, never), 'OVERLOADED')
    assert.equal(scene.table.isPinned(churn.key), true)
    scene.replica.retire(churn.key)
    await scene.end()
  })
})

describe('a version that is superseded', () => {
  it('answers who is inside and goes, pinned or not', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    await scene.replica.pin(churn, never)
    scene.workers[0]?.runs.shut()
    const running = scene.ask(churn)
    await scene.settle()
    scene.replica.retire(churn.key)
    scene.workers[0]?.runs.open()
    await scene.settle()
    assert.equal(running.state, 'hit')
    assert.equal(scene.replica.stateOf(churn.key).state, 'UNAVAILABLE')
    assert.equal(scene.ledger.usedBytes, 0)
    await scene.end()
  })
})

describe('stopping', () => {
  it('answers what is queued or running, refuses what waits for a load, and says that it was whole', async () => {
    const scene = replicaScene()
    const [churn, cold] = [scene.model('acme/churn'), scene.model('acme/cold')]
    await scene.answered(churn)
    scene.workers[0]?.runs.shut()
    scene.artifacts.compiles.shut()
    const [running, queued, waiting] = [scene.ask(churn), scene.ask(churn), scene.ask(cold)]
    await scene.settle()
    const whole = scene.stop(1000)
    await scene.settle()
    assert.equal(waiting.state, 'DRAINING')
    scene.workers[0]?.runs.open()
    assert.equal(await whole, true)
    await scene.settle()
    assert.deepEqual([running.state, queued.state], ['hit', 'hit'])
    scene.artifacts.compiles.open()
    await scene.end()
  })

  it('with nothing inside is done at once', async () => {
    const scene = replicaScene()
    assert.equal(await scene.stop(1000), true)
    await scene.end()
  })

  it('gives up after its time and says that something was cut off', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    await scene.answered(churn)
    scene.workers[0]?.runs.shut()
    const running = scene.ask(churn)
    await scene.settle()
    const [first, second] = [scene.stop(1000), scene.dispatcher.idle(2000)]
    await scene.clock.advance(1000)
    assert.equal(await first, false)
    scene.workers[0]?.runs.open()
    assert.equal(await second, true, 'each who waits has a wait of its own')
    assert.equal(running.outcomes, 1)
    await scene.end()
  })
})

describe('settings and measurements', () => {
  it('reach the sessions that are open', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn', { probe: {} })
    await scene.answered(churn)
    const batching = () =>
      [...(scene.workers[0]?.sessions.values() ?? [])].map(({ isBatchSafe, maxRows }) => ({ isBatchSafe, maxRows }))
    assert.deepEqual(batching(), [{ isBatchSafe: true, maxRows: 64 }])
    scene.applySettings(scene.model('acme/churn', { probe: {}, batching: { mode: 'off', maxRows: 8 } }))
    assert.deepEqual(batching(), [{ isBatchSafe: false, maxRows: 8 }])
    scene.applySettings(modelVersion('acme/other'))
    await scene.end()
  })

  it('that came while the model was being loaded are those it is opened with', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn', { probe: {} })
    scene.artifacts.compiles.shut()
    const asked = scene.ask(churn)
    await scene.settle()
    const { key } = churn
    scene.changed.set(key, scene.model('acme/churn', { probe: {}, batching: { mode: 'off', maxRows: 8 } }))
    scene.artifacts.compiles.open()
    await scene.settle()
    assert.equal(asked.state, 'compile')
    assert.deepEqual(
      [...(scene.workers[0]?.sessions.values() ?? [])].map(({ isBatchSafe, maxRows }) => ({ isBatchSafe, maxRows })),
      [{ isBatchSafe: false, maxRows: 8 }],
    )
    await scene.end()
  })

  it('of the probe turn stacking on, for the artifact they are about only', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    await scene.answered(churn)
    const plain = scene.artifacts.find(churn.sourceId)
    assert.ok(plain)
    scene.model('acme/churn', { probe: {} })
    const probed = scene.artifacts.recipes.get(churn.sourceId)
    assert.ok(probed)
    scene.applyManifest(churn, { ...probed, artifact: 'another' })
    assert.equal([...(scene.workers[0]?.sessions.values() ?? [])][0]?.isBatchSafe, false)
    scene.applyManifest(churn, probed)
    assert.equal([...(scene.workers[0]?.sessions.values() ?? [])][0]?.isBatchSafe, true)
    await scene.end()
  })
})

describe('statistics', () => {
  it('count answers, failures, hits, misses, runs and batches of a model, and its memory', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn', { probe: {} })
    assert.equal(scene.replica.statisticsOf(churn), undefined)
    await scene.answered(churn)
    const three = [scene.ask(churn), scene.ask(churn), scene.ask(churn, { body: 'bad' })]
    await scene.settle()
    assert.deepEqual(
      three.map(({ state }) => state),
      ['hit', 'hit', 'BAD_INPUT_VALUE'],
    )
    const row = scene.replica.statisticsOf(churn)
    assert.ok(row)
    assert.deepEqual([row.name, row.version], ['acme/churn', '1'])
    assert.equal(row.inferenceCount, 3)
    assert.equal(row.executionCount, 2)
    assert.equal(row.lastInferenceMs, scene.clock.wall())
    assert.deepEqual([row.success.count, row.fail.count], [3, 1])
    assert.deepEqual([row.cacheHit.count, row.cacheMiss.count], [3, 1])
    assert.deepEqual(row.computeInfer, { count: 2, ns: 4_000_000 })
    assert.deepEqual(
      row.batches.map(({ batchRows, computeInfer }) => [batchRows, computeInfer.count]),
      [
        [1, 1],
        [2, 1],
      ],
    )
    assert.deepEqual(row.memory, [{ type: 'CPU', id: 0, bytes: 2 * 1024 * 1024 }])
    await scene.end()
  })

  it('count a request that gave up during a load as a miss', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    scene.artifacts.compiles.shut()
    const one = scene.ask(churn, { timeoutMs: 10 })
    await scene.clock.advance(10)
    await scene.settle()
    assert.equal(one.state, 'DEADLINE_EXCEEDED')
    const row = scene.replica.statisticsOf(churn)
    assert.deepEqual([row?.cacheHit.count, row?.cacheMiss.count, row?.fail.count], [0, 1, 1])
    scene.artifacts.compiles.open()
    await scene.end()
  })
})

describe('an inspection', () => {
  it('tells the structure from the artifact if there is one, else from the source, and compiles nothing', async () => {
    const scene = replicaScene()
    const [cold, compiled] = [scene.model('acme/cold'), scene.model('acme/known', { isCompiled: true, probe: {} })]
    let walks = 0
    const onWalk = (): void => void walks++
    assert.deepEqual(await scene.replica.inspect(cold, never, onWalk), { signature: { inputs: [], outputs: [] } })
    assert.equal(walks, 1)
    assert.deepEqual(await scene.replica.inspect(compiled, never, onWalk), {
      signature: { inputs: [], outputs: [] },
      artifact: { form: 'mapped', isBatchSafe: true, batchReason: 'draws agree' },
    })
    assert.equal(walks, 1)
    assert.deepEqual(scene.artifacts.log, ['fetch acme/cold:1'])
    await scene.end()
  })

  it('fetches nothing for a walk that is refused', async () => {
    const scene = replicaScene()
    const refuse = (): never => {
      throw new GatewayError('QUOTA_EXCEEDED', 'not again')
    }
    await assert.rejects(scene.replica.inspect(scene.model('acme/cold'), never, refuse), { code: 'QUOTA_EXCEEDED' })
    assert.deepEqual(scene.artifacts.log, [])
    await scene.end()
  })
})
