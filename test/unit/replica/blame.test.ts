/** What a worker's death leads to, with scripted workers: a body that begins with `poison` ends its process, `hang` never ends. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { openScene, together } from '../../support/open-scene.ts'
import type { Asked } from '../../support/replica-scene.ts'
import { MiB, refused, replicaScene } from '../../support/replica-scene.ts'

const states = (all: readonly Asked[]) => all.map(({ state }) => state)
const NAME = 'acme/churn:1'

describe('a crash under several requests', () => {
  it('is resolved by running each alone in a spare worker: the good are answered, the one to blame is not', async () => {
    const { scene, churn } = await openScene()
    const all = await together(scene, churn, ['a', 'poison', 'b'])
    assert.deepEqual(states(all), ['hit', 'WORKER_CRASHED', 'hit'])
    assert.equal(all[0]?.text, 'acme/churn-1.onnx a')
    assert.match(all[1]?.error?.message ?? '', /died \(SIGSEGV\) while it ran this request alone/)
    assert.deepEqual(scene.spare.log, [
      'open acme/churn:1',
      'run acme/churn:1 x1',
      'run acme/churn:1 x1',
      'open acme/churn:1',
      'run acme/churn:1 x1',
    ])
    assert.deepEqual(scene.blamed, [
      `suspects ${NAME} x3 crash`,
      'cleared',
      'convicted',
      `struck ${NAME} crash run 1`,
      'cleared',
    ])
    assert.equal((await scene.answered(churn)).state, 'load', 'the model goes on being served')
    await scene.end()
  })

  it('charges the session in the spare, and closes it when the last suspect is through', async () => {
    const { scene, churn } = await openScene()
    const before = scene.ledger.usedBytes
    const [home] = scene.workers
    home?.runs.shut()
    const all = await together(scene, churn, ['a', 'b'])
    home?.die()
    const [spare] = scene.spare.lives
    assert.equal(spare, undefined, 'it is started when it is wanted')
    await scene.settle()
    assert.deepEqual(states(all), ['hit', 'hit'])
    assert.deepEqual(scene.places(churn), [], 'closed in the spare, and not open in the new worker yet')
    assert.equal(scene.spare.lives[0]?.sessions.size, 0)
    assert.equal(scene.spare.rests, 1)
    assert.equal(scene.ledger.usedBytes, before, 'all that is charged is the first placement that stays promised')
    home?.runs.open()
    await scene.end()
  })

  it('is resolved in a spare of its own tenant where workers are kept apart', async () => {
    const { scene, churn } = await openScene({ worker: { isolation: 'tenant' } })
    const other = scene.model('bolt/churn', { probe: {}, isCompiled: true })
    // Twice each: the spare serves a tenant for as long as nobody else wants it.
    for (const version of [churn, churn, other, churn]) {
      await scene.answered(version)
      const home = scene.workers[0]
      home?.runs.shut()
      const suspects = await together(scene, version, ['d', 'e'])
      home?.die()
      home?.runs.open()
      await scene.settle()
      assert.ok(
        suspects.every(({ ok }) => ok !== undefined),
        states(suspects).join(),
      )
    }
    assert.deepEqual(
      scene.spare.lives.map(({ domain }) => domain),
      ['acme', 'bolt', 'acme'],
    )
    await scene.end()
  })

  it('ends the requests that there is no room to run alone, and says why', async () => {
    const { scene, churn } = await openScene({ memoryBytes: 3 * MiB })
    const all = await together(scene, churn, ['a', 'poison'])
    assert.deepEqual(states(all), ['hit', 'WORKER_CRASHED'], 'room that the dead worker left')
    const tight = await openScene({ memoryBytes: 3 * MiB, workers: 2 })
    // Something else takes the room while the files are looked at.
    tight.scene.artifacts.verifies.shut()
    const suspects = await together(tight.scene, tight.churn, ['c', 'poison'])
    tight.scene.spare.broken = new Error('no process can be made')
    tight.scene.artifacts.verifies.open()
    await tight.scene.settle()
    assert.deepEqual(states(suspects), ['WORKER_CRASHED', 'WORKER_CRASHED'])
    assert.match(suspects[0]?.error?.message ?? '', /not run alone: the spare worker could not be used/)
    assert.deepEqual(tight.scene.blamed, [`suspects ${NAME} x2 crash`, 'untried', 'untried'])
    await scene.end()
    await tight.scene.end()
  })

  it('is nobody else’s matter: what was sent behind it runs in the next worker, and other models go on', async () => {
    const { scene, churn } = await openScene({ scheduler: { aheadMs: 1000 } })
    const other = scene.model('beta/other')
    await scene.answered(other)
    const [worker] = scene.workers
    worker?.runs.shut()
    const all = await together(scene, churn, ['a', 'poison'])
    const behind = await together(scene, other, ['x', 'y'])
    worker?.runs.open()
    await scene.settle()
    assert.deepEqual(states(all), ['hit', 'WORKER_CRASHED'])
    assert.deepEqual(states(behind), ['load', 'load'])
    assert.ok(scene.blamed.every((line) => !line.includes('beta')))
    await scene.end()
  })

  it('lets at most so many wait for the spare', async () => {
    const { scene, churn } = await openScene({ worker: { maxSuspects: 2 } })
    const all = await together(scene, churn, ['a', 'poison', 'b', 'c'])
    assert.deepEqual(states(all).toSorted(), ['WORKER_CRASHED', 'WORKER_CRASHED', 'WORKER_CRASHED', 'hit'])
    assert.match(all[3]?.error?.message ?? '', /2 others wait for that already/)
    await scene.end()
  })

  it('does not run a suspect whose client has left, or whose deadline has passed', async () => {
    const { scene, churn } = await openScene()
    scene.artifacts.verifies.shut()
    const all = [scene.ask(churn, { body: 'a' }), scene.ask(churn, { body: 'poison', timeoutMs: 100 })]
    await scene.settle()
    all[0]?.leave()
    await scene.clock.advance(100)
    scene.artifacts.verifies.open()
    await scene.settle()
    assert.deepEqual(states(all), ['CLIENT_GONE', 'DEADLINE_EXCEEDED'])
    assert.deepEqual(scene.spare.log, [])
    await scene.end()
  })

  it('keeps a model that may be open only once from the workers while the spare has it', async () => {
    const scene = replicaScene({ respawns: true, workers: 2 })
    const trees = scene.model('acme/trees', { probe: { privateBytes: 8 * MiB }, blobs: [], privateBytes: 8 * MiB })
    await scene.answered(trees)
    scene.spare.holdsRuns = true
    scene.artifacts.verifies.shut()
    const all = await together(scene, trees, ['a', 'poison', 'b'])
    // By then the dead worker is known to be gone, and its session with it.
    scene.artifacts.verifies.open()
    const late = scene.ask(trees, { body: 'late' })
    for (let looks = 0; looks < 5; looks++) await scene.clock.advance(20)
    assert.deepEqual(scene.places(trees), ['spare-1'])
    assert.equal(late.state, 'pending')
    scene.spare.holdsRuns = false
    scene.spare.lives[0]?.runs.open()
    await scene.settle()
    await scene.clock.advance(20)
    await scene.settle()
    assert.deepEqual(states([...all, late]), ['hit', 'WORKER_CRASHED', 'hit', 'load'])
    await scene.end()
  })
})

describe('a strike', () => {
  it('by a second body quarantines the key: its requests end, and new ones are told since when, why, and the way out', async () => {
    const { scene, churn } = await openScene()
    await together(scene, churn, ['poison 1'])
    const [worker] = scene.workers
    worker?.runs.shut()
    const last = await together(scene, churn, ['poison 2'])
    const waiting = scene.ask(churn, { body: 'good' })
    await scene.settle()
    worker?.runs.open()
    await scene.settle()
    assert.deepEqual(states([...last, waiting]), ['WORKER_CRASHED', 'MODEL_QUARANTINED'])
    assert.deepEqual(scene.blamed.slice(-2), [`struck ${NAME} crash run 2`, `quarantined ${NAME} MODEL_QUARANTINED`])
    const refusal = scene.ask(churn)
    await scene.settle()
    assert.equal(refusal.state, 'MODEL_QUARANTINED')
    assert.match(
      refusal.error?.message ?? '',
      /quarantined, because it ended 2 worker processes by itself: crash \(SIGSEGV\) in a run in worker-0 at 2025-.*refused since 2025-.*remove quarantine\/acme\/churn.*\.json/,
    )
    assert.deepEqual(Object.keys(refusal.error?.facts.details ?? {}), [
      'since',
      'strikes',
      'release',
      'strike',
      'phase',
      'how',
    ])
    assert.equal(scene.replica.stateOf(churn.key).state, 'UNAVAILABLE')
    assert.match(scene.replica.stateOf(churn.key).reason, /^MODEL_QUARANTINED/)
    await refused(scene.replica.load(churn, new AbortController().signal), 'MODEL_QUARANTINED')
    assert.equal(scene.ledger.usedBytes, 0, 'its memory is free for others')
    await scene.end()
  })

  it('is not repeated by the same body: that is refused without a run, and other requests are served', async () => {
    const { scene, churn } = await openScene()
    await together(scene, churn, ['poison'])
    const runs = scene.workers[0]?.log.length ?? 0
    for (let i = 0; i < 5; i++) {
      const [again] = await together(scene, churn, ['poison'])
      assert.equal(again?.state, 'WORKER_CRASHED')
      assert.match(
        again?.error?.message ?? '',
        /this very request ended worker-0 at .* is not run again for 10 minutes/,
      )
    }
    assert.equal(scene.workers[0]?.log.length, runs, 'no worker has seen it')
    assert.equal((await scene.answered(churn)).state, 'load')
    assert.deepEqual(scene.blamed, [`struck ${NAME} crash run 1`])
    await scene.end()
  })

  it('ends waiting requests with the same body too', async () => {
    const { scene, churn } = await openScene({ scheduler: { aheadMs: 0 } })
    const all = await together(scene, churn, ['poison', 'poison', 'poison', 'a'])
    assert.deepEqual(states(all), ['WORKER_CRASHED', 'WORKER_CRASHED', 'WORKER_CRASHED', 'hit'])
    assert.equal(scene.spare.lives.length, 2, 'one death in the spare, whatever the number')
    await scene.end()
  })

  it('ends requests that come back from a worker that died of something else, too', async () => {
    const { scene, churn } = await openScene({ workers: 2, scheduler: { aheadMs: 1000 } })
    const [home, away] = [scene.home(churn), scene.away(churn)]
    const names = Array.from({ length: 8 }, (_, i) => scene.model(`acme/m${i}`))
    const other = names.find((model) => scene.home(model) === home) ?? assert.fail()
    await scene.answered(other)
    home.runs.shut()
    const [first] = await together(scene, other, ['a'])
    const [behind] = await together(scene, churn, ['poison'])
    assert.equal(scene.queues.depth, 0, 'both are sent')
    // The same body is found out elsewhere meanwhile.
    scene.quarantine.strike(
      churn,
      { reason: 'crash', phase: 'run', how: 'SIGSEGV', process: away.id },
      { body: [Buffer.from('poison')], bodyBytes: 6 },
    )
    home.die('host')
    home.runs.open()
    await scene.settle()
    assert.deepEqual(states([first, behind].filter((one) => one !== undefined)), ['WORKER_CRASHED', 'WORKER_CRASHED'])
    assert.match(behind?.error?.message ?? '', /this very request ended/)
    assert.ok(scene.workers.every(({ isUp }) => isUp))
    assert.deepEqual(scene.blamed, [`struck ${NAME} crash run 1`], 'no second worker died of it')
    await scene.end()
  })

  it('counts for ten minutes', async () => {
    const { scene, churn } = await openScene()
    await together(scene, churn, ['poison 1'])
    await scene.clock.advance(600_001)
    await together(scene, churn, ['poison 2'])
    assert.equal((await scene.answered(churn)).state, 'load')
    assert.deepEqual(scene.blamed, [`struck ${NAME} crash run 1`, `struck ${NAME} crash run 1`])
    await scene.end()
  })

  it('is an open that ends its process, two of which quarantine the key', async () => {
    const scene = replicaScene({ respawns: true })
    const churn = scene.model('acme/churn')
    const [worker] = scene.workers
    worker?.deadly.add('acme/churn')
    for (const body of ['a', 'b']) {
      worker?.opens.shut()
      const [one] = await together(scene, churn, [body])
      worker?.opens.open()
      await scene.settle()
      assert.equal(one?.state, 'WORKER_CRASHED')
      assert.match(one?.error?.message ?? '', /while it opened the model/)
    }
    assert.deepEqual(scene.blamed, [
      `struck ${NAME} crash open 1`,
      `struck ${NAME} crash open 2`,
      `quarantined ${NAME} MODEL_QUARANTINED`,
    ])
    await scene.end()
  })

  it('is counted once for an open that several hand-overs waited for', async () => {
    const scene = replicaScene({ respawns: true, scheduler: { aheadMs: 1000 } })
    const churn = scene.model('acme/churn')
    const [worker] = scene.workers
    worker?.opens.shut()
    const one = scene.ask(churn)
    await scene.settle()
    const two = scene.ask(churn)
    await scene.settle()
    worker?.deadly.add('acme/churn')
    worker?.opens.open()
    await scene.settle()
    assert.deepEqual(states([one, two]), ['WORKER_CRASHED', 'WORKER_CRASHED'])
    assert.deepEqual(scene.blamed, [`struck ${NAME} crash open 1`])
    await scene.end()
  })

  it('is an open that nobody’s request asked for, and not of what waits behind it', async () => {
    const scene = replicaScene({ respawns: true, scheduler: { aheadMs: 1000 } })
    const [churn, other] = [scene.model('acme/churn'), scene.model('beta/other')]
    await scene.answered(other)
    const [worker] = scene.workers
    worker?.opens.shut()
    const loaded = scene.replica.load(churn, new AbortController().signal)
    await scene.settle()
    const behind = scene.ask(other)
    await scene.settle()
    worker?.deadly.add('acme/churn')
    worker?.opens.open()
    await refused(loaded, 'WORKER_CRASHED')
    await scene.settle()
    assert.equal(behind.state, 'load')
    assert.deepEqual(scene.blamed, [`struck ${NAME} crash open 1`])
    await scene.end()
  })
})

describe('a hang', () => {
  it('of one request is a strike, although its client has long left', async () => {
    const { scene, churn } = await openScene()
    const [one] = await together(scene, churn, ['hang'])
    await scene.clock.advance(30_000)
    assert.equal(one?.state, 'DEADLINE_EXCEEDED', 'a deadline ends the wait and no worker')
    assert.deepEqual(scene.hangs, [])
    await scene.clock.advance(2000)
    await scene.settle()
    assert.deepEqual(scene.hangs, ['worker-0'])
    assert.deepEqual(scene.blamed, [`struck ${NAME} hang run 1`])
    await scene.end()
  })

  it('of several is found out by running them alone, also those whose clients have left', async () => {
    const { scene, churn } = await openScene()
    const all = await together(scene, churn, ['a', 'hang'])
    await scene.clock.advance(31_000)
    await scene.settle()
    assert.deepEqual(states(all), ['DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED'])
    assert.deepEqual(scene.blamed, [`suspects ${NAME} x2 hang`, 'cleared'])
    await scene.clock.advance(30_001)
    await scene.settle()
    assert.deepEqual(scene.blamed.slice(2), ['convicted', `struck ${NAME} hang run 1`])
    assert.equal(scene.spare.lives[0]?.isUp, false)
    await scene.end()
  })
})

describe('a death from outside', () => {
  it('under one request is nobody’s strike, and the request is not run again', async () => {
    const { scene, churn } = await openScene()
    const [worker] = scene.workers
    worker?.runs.shut()
    const [one] = await together(scene, churn, ['a'])
    worker?.die('host')
    await scene.settle()
    assert.equal(one?.state, 'WORKER_CRASHED')
    assert.match(one?.error?.message ?? '', /killed from outside/)
    assert.deepEqual(scene.blamed, [])
    worker?.runs.open()
    assert.equal((await scene.answered(churn)).state, 'load')
    await scene.end()
  })

  it('while nothing runs is nobody’s', async () => {
    const { scene } = await openScene()
    scene.workers[0]?.die()
    await scene.settle()
    assert.deepEqual(scene.blamed, [])
    await scene.end()
  })
})
