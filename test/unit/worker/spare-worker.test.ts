import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ChildGoneError } from '../../../src/child/calls.ts'
import { SpareWorker } from '../../../src/worker/spare-worker.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { ScriptedSpawner } from '../../support/scripted-child.ts'

describe('the spare worker', () => {
  it('answers within the same limits as the workers of the pool', async () => {
    const spawner = new ScriptedSpawner()
    const hellos: unknown[] = []
    spawner.handle = (_kind, payload) => {
      hellos.push(JSON.parse(payload.toString()))
      return []
    }
    const spare = new SpareWorker({
      clock: new ManualClock(),
      idleMs: 1000,
      graceMs: 1000,
      maxAnswerBytes: 5000,
      spawn: spawner.spawn,
      onLine: () => {},
      onUp: () => {},
      onDown: () => {},
    })
    await spare.start()
    assert.deepEqual(hellos, [{ device: 'cpu', maxAnswerBytes: 5000 }])
    await spare.close(1000)
  })

  it('is ended also while it is on its way up, and its start has failed', async () => {
    const clock = new ManualClock()
    const spawner = new ScriptedSpawner()
    spawner.handle = () => new Promise<never>(() => {})
    const spare = new SpareWorker({
      clock,
      idleMs: 1000,
      graceMs: 1000,
      spawn: spawner.spawn,
      onLine: () => {},
      onUp: () => {},
      onDown: () => {},
    })
    const started = assert.rejects(spare.start(), ChildGoneError)
    let isClosed = false
    const closed = spare.close(1000).then(() => (isClosed = true))
    await clock.advance(1000)
    await clock.advance(0)
    assert.equal(isClosed, true)
    await Promise.all([started, closed])
    assert.equal(spawner.children[0]?.isAlive, false)
    assert.equal(clock.pendingTimers, 0)
  })
})
