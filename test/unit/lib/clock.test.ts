import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, it } from 'node:test'
import { pause, systemClock } from '../../../src/lib/clock.ts'
import { ManualClock } from '../../support/manual-clock.ts'

describe('ManualClock', () => {
  it('fires timers in order of their due times, each at its own instant', async () => {
    const clock = new ManualClock()
    const fired: Array<[string, number]> = []
    clock.after(30, () => fired.push(['late', clock.now()]))
    clock.after(10, () => {
      fired.push(['early', clock.now()])
      clock.after(5, () => fired.push(['chained', clock.now()]))
    })
    await clock.advance(40)
    assert.deepEqual(fired, [
      ['early', 10],
      ['chained', 15],
      ['late', 30],
    ])
    assert.equal(clock.now(), 40)
    assert.equal(clock.pendingTimers, 0)
  })

  it('lets a promise that a timer resolved set the next timer within the same advance', async () => {
    const clock = new ManualClock()
    let finishedAt = -1
    const work = (async () => {
      await pause(clock, 10)
      await pause(clock, 10)
      finishedAt = clock.now()
    })()
    await clock.advance(25)
    await work
    assert.equal(finishedAt, 20)
  })

  it('repeats until cancelled and moves wall time along with its own jumps', () => {
    const clock = new ManualClock({ wall: 1000 })
    let calls = 0
    const timer = clock.every(10, () => calls++)
    clock.tick(35)
    timer.cancel()
    timer.cancel()
    clock.jumpWall(-500)
    clock.tick(100)
    assert.equal(calls, 3)
    assert.equal(clock.wall(), 1000 - 500 + 135)
    assert.equal(clock.pendingTimers, 0)
  })
})

describe('pause', () => {
  it('rejects with the reason of an abort and leaves no timer behind', async () => {
    const clock = new ManualClock()
    const controller = new AbortController()
    const waiting = pause(clock, 1000, controller.signal)
    const reason = new Error('left')
    controller.abort(reason)
    await assert.rejects(waiting, reason)
    assert.equal(clock.pendingTimers, 0)
  })

  it('rejects at once, without a timer, when the signal aborted before', async () => {
    const clock = new ManualClock()
    await assert.rejects(pause(clock, 1000, AbortSignal.abort(new Error('too late'))), /too late/)
    assert.equal(clock.pendingTimers, 0)
  })

  it('takes its listener off the signal once the time is over', async () => {
    const clock = new ManualClock()
    const { signal } = new AbortController()
    const waiting = pause(clock, 5, signal)
    assert.equal(getEventListeners(signal, 'abort').length, 1)
    await clock.advance(5)
    await waiting
    assert.equal(getEventListeners(signal, 'abort').length, 0)
  })
})

describe('systemClock', () => {
  it('calls once after a delay, never after a cancel, and caps delays that setTimeout would turn into one millisecond', async () => {
    const calls: string[] = []
    const far = systemClock.after(2 ** 40, () => calls.push('far'))
    systemClock.after(0, () => calls.push('cancelled')).cancel()
    await new Promise<void>((resolve) => {
      systemClock.after(5, () => {
        calls.push('near')
        resolve()
      })
      holdOpen(() => calls.includes('near'))
    })
    far.cancel()
    assert.deepEqual(calls, ['near'])
  })

  it('counts monotonic time and wall time in milliseconds', () => {
    const before = systemClock.now()
    assert.ok(systemClock.now() >= before)
    assert.ok(systemClock.wall() > 1_600_000_000_000)
  })
})

/** Timers of the system clock do not keep the process alive: turns of the event loop do, until `isDone`. */
function holdOpen(isDone: () => boolean): void {
  if (!isDone()) setImmediate(() => holdOpen(isDone))
}
