import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Lane } from '../../../../loadtest/generator/lane.ts'
import { openLoop } from '../../../../loadtest/generator/open-loop.ts'
import { ManualClock } from '../../../support/manual-clock.ts'

/** A server that answers each request `ms` after it was sent. */
function laneTaking(ms: number, clock: ManualClock, latencies: number[]): Lane<number> {
  return (_, dueAt, done) => {
    clock.after(ms, () => {
      latencies.push(clock.now() - dueAt)
      done()
    })
  }
}

function countTo(limit: number): () => number | undefined {
  let next = 0
  return () => (next < limit ? next++ : undefined)
}

function* everyMs(gap: number): Generator<number, never> {
  for (let i = 0; ; i += 1) yield i * gap
}

describe('open loop', () => {
  it('counts the wait for a busy server from when each request was due', async () => {
    const clock = new ManualClock()
    const latencies: number[] = []
    const loop = openLoop({
      lanes: [laneTaking(30, clock, latencies)],
      next: countTo(4),
      arrivals: everyMs(10),
      clock,
      giveUpAfterMs: 1000,
      onLate: () => {},
    })
    await clock.advance(500)
    assert.equal(await loop, 0)
    // One lane and 30 ms each: requests due at 0, 10, 20, 30 end 30 ms apart, so each waits 20 ms longer than the one before.
    const steps = latencies.slice(1).map((latency, i) => latency - (latencies[i] ?? 0))
    assert.deepEqual(steps, [20, 20, 20])
  })

  it('sends on schedule while answers are outstanding', async () => {
    const clock = new ManualClock()
    const sentAt: number[] = []
    const lanes = Array.from(
      { length: 5 },
      (): Lane<number> => (_, __, done) => {
        sentAt.push(clock.now())
        clock.after(400, done)
      },
    )
    const loop = openLoop({
      lanes,
      next: countTo(5),
      arrivals: everyMs(10),
      clock,
      giveUpAfterMs: 1000,
      onLate: () => {},
    })
    await clock.advance(600)
    await loop
    assert.deepEqual(sentAt, [1, 10, 20, 30, 40])
  })

  it('gives up what a dead server never answers and says what was not even sent', async () => {
    const clock = new ManualClock()
    const loop = openLoop({
      lanes: [() => {}, () => {}],
      next: countTo(7),
      arrivals: everyMs(10),
      clock,
      giveUpAfterMs: 200,
      onLate: () => {},
    })
    await clock.advance(300)
    assert.equal(await loop, 5)
    assert.equal(clock.pendingTimers, 0)
  })

  it('reports how late its own ticks were', async () => {
    const clock = new ManualClock()
    const late: number[] = []
    const loop = openLoop({
      lanes: [laneTaking(1, clock, [])],
      next: countTo(3),
      arrivals: everyMs(0.4),
      clock,
      giveUpAfterMs: 100,
      onLate: (ms) => late.push(Math.round(ms * 10) / 10),
    })
    await clock.advance(50)
    await loop
    assert.deepEqual(late, [1, 0.6, 0.2])
  })
})
