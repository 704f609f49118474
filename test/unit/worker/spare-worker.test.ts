import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
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
})
