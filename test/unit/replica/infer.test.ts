import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GatewayError } from '../../../src/domain/errors.ts'
import { replicaScene } from '../../support/replica-scene.ts'

const unreachable = () => new GatewayError('ARTIFACT_UNREACHABLE', 'the store does not give it')

describe('an inference', () => {
  it('of a model never seen is fetched, compiled, paged in, opened and run, and says so', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    const one = scene.ask(churn)
    await scene.settle()
    assert.equal(one.text, 'acme/churn-1.onnx body-0')
    const { model, version, replica, cache, batchRows, timings } = one.ok?.served ?? assert.fail(one.state)
    assert.deepEqual(
      { model, version, replica, cache, batchRows },
      {
        model: 'acme/churn',
        version: '1',
        replica: 'replica-1',
        cache: 'compile',
        batchRows: 1,
      },
    )
    assert.deepEqual(Object.keys(timings).toSorted(), [
      'compile',
      'decode',
      'encode',
      'fetch',
      'open',
      'page',
      'queue',
      'run',
    ])
    assert.equal(timings.open, 8, 'warm-up included')
    assert.deepEqual(scene.artifacts.log, ['fetch acme/churn:1', 'compile acme/churn:1', 'page acme/churn-1'])
    await scene.end()
  })

  it('of a model that was compiled before is only paged in and opened', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn', { isCompiled: true })
    const one = scene.ask(churn)
    await scene.settle()
    assert.equal(one.state, 'load')
    assert.deepEqual(scene.artifacts.log, ['page acme/churn-1'])
    await scene.end()
  })

  it('of an open model is a hit that loads and opens nothing', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    await scene.answered(churn)
    const before = scene.artifacts.log.length
    const hit = await scene.answered(churn)
    assert.equal(hit.state, 'hit')
    assert.deepEqual(Object.keys(hit.ok?.served.timings ?? {}).toSorted(), ['decode', 'encode', 'queue', 'run'])
    assert.equal(scene.artifacts.log.length, before)
    assert.deepEqual(scene.workers[0]?.log, ['open acme/churn:1', 'run acme/churn:1 x1', 'run acme/churn:1 x1'])
    await scene.end()
  })

  it('of a resident model whose session was closed reports the open as a load', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    await scene.answered(churn)
    const [placement] = scene.placements.ofKey(churn.key)
    assert.ok(placement)
    await scene.sessions.close(placement, 'test')
    assert.equal((await scene.answered(churn)).state, 'load')
    await scene.end()
  })

  it('joins the load that another one began, and waits', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    scene.artifacts.compiles.shut()
    const all = [scene.ask(churn), scene.ask(churn), scene.ask(churn)]
    await scene.settle()
    assert.deepEqual(scene.artifacts.compiles.waiting, ['acme/churn:1'])
    await scene.clock.advance(70)
    scene.artifacts.compiles.open()
    await scene.settle()
    assert.deepEqual(
      all.map(({ state }) => state),
      ['compile', 'wait', 'wait'],
    )
    assert.equal(all[0]?.ok?.served.timings.compile, 70)
    assert.equal(all[1]?.ok?.served.timings.compile, undefined)
    await scene.end()
  })

  it('is answered with its own answer when many models are asked for at once', async () => {
    const scene = replicaScene({ workers: 3 })
    const models = Array.from({ length: 20 }, (_, i) => scene.model(`t${i % 4}/m${i}`))
    const all = [...models, ...models].map((model) => ({ model, one: scene.ask(model) }))
    await scene.settle()
    for (const { model, one } of all) assert.equal(one.text, `${model.name}-1.onnx ${one.body}`)
    await scene.end()
  })

  it('fails alone when its input is refused', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn', { probe: {} })
    const good = scene.ask(churn)
    const bad = scene.ask(churn, { body: 'bad' })
    await scene.settle()
    assert.equal(good.text, 'acme/churn-1.onnx body-0')
    assert.equal(bad.state, 'BAD_INPUT_VALUE')
    assert.deepEqual([bad.error?.facts.model, bad.error?.facts.version], ['acme/churn', '1'])
    await scene.end()
  })

  it('that arrived together with others is handed over with them', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn', { probe: {} })
    await scene.answered(churn)
    const all = [scene.ask(churn), scene.ask(churn)]
    await scene.settle()
    assert.equal(scene.workers[0]?.log.at(-1), 'run acme/churn:1 x2')
    assert.deepEqual(
      all.map(({ ok }) => ok?.served.batchRows),
      [2, 2],
    )
    await scene.end()
  })

  it('that must not load gets MODEL_NOT_HERE for a model that is absent or loading, and its answer once it is here', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    const absent = scene.ask(churn, { ifAbsent: 'refuse' })
    await scene.settle()
    assert.equal(absent.state, 'MODEL_NOT_HERE')
    assert.deepEqual(scene.artifacts.log, [])
    scene.artifacts.compiles.shut()
    const loader = scene.ask(churn)
    const loading = scene.ask(churn, { ifAbsent: 'refuse' })
    await scene.settle()
    assert.equal(loading.state, 'MODEL_NOT_HERE')
    scene.artifacts.compiles.open()
    await scene.settle()
    assert.equal(loader.state, 'compile')
    const here = scene.ask(churn, { ifAbsent: 'refuse' })
    await scene.settle()
    assert.equal(here.state, 'hit')
    await scene.end()
  })
})

describe('a load that fails', () => {
  it('fails everyone who waits with the same words and the names of the model, then refuses until its back-off ends', async () => {
    const scene = replicaScene({ cache: { failure: { baseMs: 1000, maxMs: 60_000 } } })
    const churn = scene.model('acme/churn')
    scene.artifacts.fetches.shut()
    const all = [scene.ask(churn), scene.ask(churn)]
    await scene.settle()
    scene.artifacts.fetches.fail(unreachable())
    await scene.settle()
    for (const { error } of all) {
      assert.equal(error?.code, 'ARTIFACT_UNREACHABLE')
      assert.equal(error.facts.model, 'acme/churn')
    }
    const soon = scene.ask(churn)
    await scene.settle()
    assert.equal(soon.state, 'ARTIFACT_UNREACHABLE')
    assert.equal(soon.error?.facts.retryAfterMs, 1000)
    assert.equal(scene.artifacts.log.length, 1, 'a failure that is remembered loads nothing')
    await scene.clock.advance(1000)
    scene.artifacts.fetches.open()
    assert.equal((await scene.answered(churn)).state, 'compile')
    await scene.end()
  })

  it('gives the artifact back when it fails after it was found', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn', { isCompiled: true })
    scene.artifacts.pageIns.shut()
    const one = scene.ask(churn)
    await scene.settle()
    assert.deepEqual(scene.artifacts.held, ['acme/churn-1'])
    scene.artifacts.pageIns.fail(new GatewayError('MODEL_LOADING', 'damaged'))
    await scene.settle()
    assert.equal(one.state, 'MODEL_LOADING')
    assert.deepEqual(scene.artifacts.held, [])
    scene.artifacts.pageIns.open()
    assert.equal((await scene.answered(churn)).state, 'load')
    await scene.end()
  })

  it('for want of any such memory says so at once', async () => {
    const scene = replicaScene({ memoryBytes: 1000 })
    const one = scene.ask(scene.model('acme/huge'))
    await scene.settle()
    assert.equal(one.state, 'MODEL_TOO_LARGE')
    await scene.end()
  })

  it('before it could be waited for fails with its own error', async () => {
    const scene = replicaScene()
    scene.artifacts.find = () => {
      throw new GatewayError('OVERLOADED', 'too much of everything')
    }
    const one = scene.ask(scene.model('acme/churn'))
    await scene.settle()
    assert.equal(one.error?.message, 'too much of everything')
    await scene.end()
  })

  it('in a way nobody foresaw is INTERNAL, for whoever began it and whoever joined', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    scene.artifacts.recipes.clear()
    const all = [scene.ask(churn), scene.ask(churn)]
    await scene.settle()
    assert.deepEqual(
      all.map(({ state }) => state),
      ['INTERNAL', 'INTERNAL'],
    )
    await scene.end()
  })
})

describe('admission', () => {
  it('refuses what the queue of one model has no place for, and says when to come back', async () => {
    const scene = replicaScene({ scheduler: { maxQueuedPerModel: 2 } })
    const churn = scene.model('acme/churn')
    scene.artifacts.compiles.shut()
    const inside = [scene.ask(churn), scene.ask(churn)]
    const third = scene.ask(churn)
    await scene.settle()
    assert.equal(third.state, 'OVERLOADED')
    assert.ok((third.error?.facts.retryAfterMs ?? 0) > 0)
    assert.equal(third.error?.facts.model, 'acme/churn')
    scene.artifacts.compiles.open()
    await scene.settle()
    assert.deepEqual(
      inside.map(({ state }) => state),
      ['compile', 'wait'],
    )
    assert.equal((await scene.answered(churn)).state, 'hit', 'those who left make room')
    await scene.end()
  })

  it('refuses everything while draining, and answers what is inside', async () => {
    const scene = replicaScene()
    const churn = scene.model('acme/churn')
    scene.workers[0]?.runs.shut()
    const inside = scene.ask(churn)
    await scene.settle()
    assert.equal(scene.replica.notReadyReason(), undefined)
    scene.replica.drain()
    const late = scene.ask(churn)
    await scene.settle()
    assert.equal(late.state, 'DRAINING')
    assert.equal(scene.replica.notReadyReason(), 'the server is shutting down')
    scene.workers[0]?.runs.open()
    await scene.settle()
    assert.equal(inside.state, 'compile')
    await scene.end()
  })

  it('is not ready without any worker', async () => {
    const scene = replicaScene({ workers: 0 })
    assert.equal(scene.replica.notReadyReason(), 'no worker process is up')
    await scene.end()
  })
})
