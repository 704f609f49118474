import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Turns } from '../../../src/replica/turns.ts'
import { ManualClock } from '../../support/manual-clock.ts'

function scene() {
  const clock = new ManualClock()
  const turns = new Turns({ clock, perTick: 2, tickMs: 10 })
  const had: number[] = []
  const ask = (who: number, maxMs = 1000): void => void turns.next(maxMs).then(() => had.push(who))
  return { clock, had, ask }
}

describe('turns', () => {
  it('are given to a crowd a few at a time, in its order', async () => {
    const { clock, had, ask } = scene()
    for (let who = 0; who < 7; who++) ask(who)
    await clock.advance(0)
    assert.deepEqual(had, [0, 1])
    await clock.advance(10)
    assert.deepEqual(had, [0, 1, 2, 3])
    await clock.advance(20)
    assert.deepEqual(had, [0, 1, 2, 3, 4, 5, 6])
    await clock.advance(20)
    assert.equal(clock.pendingTimers, 0)
  })

  it('come at once when nobody has had one lately', async () => {
    const { clock, had, ask } = scene()
    ask(0)
    await clock.advance(10)
    ask(1)
    ask(2)
    await clock.advance(0)
    assert.deepEqual(had, [0, 1, 2])
  })

  it('are not waited for longer than the caller can', async () => {
    const { clock, had, ask } = scene()
    for (let who = 0; who < 4; who++) ask(who, 5)
    await clock.advance(5)
    assert.deepEqual(had, [0, 1, 2, 3])
    await clock.advance(10)
    assert.equal(clock.pendingTimers, 0)
  })
})
