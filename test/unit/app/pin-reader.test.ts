import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PinReader } from '../../../src/app/pin-reader.ts'
import { ManualClock, settle } from '../../support/manual-clock.ts'

describe('PinReader', () => {
  it('reads what is pinned then, one after the other, round by round, also past one that fails', async () => {
    const clock = new ManualClock()
    const read: string[] = []
    let pinned = ['a', 'b']
    const reader = new PinReader({
      clock,
      everyMs: 1000,
      pinned: () => pinned,
      pageIn: async (name) => {
        read.push(name)
        if (name === 'a') throw new Error('damaged')
      },
    })
    await clock.advance(1000)
    pinned = ['b', 'c']
    await clock.advance(1000)
    assert.deepEqual(read, ['a', 'b', 'b', 'c'])
    reader.close()
    await clock.advance(5000)
    assert.equal(read.length, 4)
    assert.equal(clock.pendingTimers, 0)
  })

  it('begins no round while one is under way, and ends it when it is closed', async () => {
    const clock = new ManualClock()
    const read: string[] = []
    const { promise, resolve } = Promise.withResolvers<void>()
    const reader = new PinReader({
      clock,
      everyMs: 1000,
      pinned: () => ['a', 'b'],
      pageIn: (name) => {
        read.push(name)
        return promise
      },
    })
    await clock.advance(5000)
    assert.deepEqual(read, ['a'])
    reader.close()
    resolve()
    await settle()
    assert.deepEqual(read, ['a'])
  })

  it('never reads when told so', () => {
    const clock = new ManualClock()
    assert.ok(new PinReader({ clock, everyMs: 0, pinned: () => [], pageIn: () => Promise.resolve() }))
    assert.equal(clock.pendingTimers, 0)
  })
})
