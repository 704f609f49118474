import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { closedLoop } from '../../../../loadtest/generator/closed-loop.ts'
import type { Lane } from '../../../../loadtest/generator/lane.ts'

describe('closed loop', () => {
  it('keeps exactly one request in flight per lane and ends with the last answer', async () => {
    let left = 100
    let inFlight = 0
    let most = 0
    const pending: (() => void)[] = []
    const lane: Lane<number> = (_, __, done) => {
      inFlight += 1
      most = Math.max(most, inFlight)
      pending.push(() => {
        inFlight -= 1
        done()
      })
    }
    const loop = closedLoop(
      [lane, lane, lane],
      () => (left > 0 ? left-- : undefined),
      () => 0,
    )
    let answered = 0
    for (let answer = pending.shift(); answer !== undefined; answer = pending.shift()) {
      answer()
      answered += 1
    }
    await loop
    assert.deepEqual({ answered, most }, { answered: 100, most: 3 })
  })

  it('ends at once when there is nothing to do', async () => {
    await closedLoop(
      [() => assert.fail('nothing to send')],
      () => undefined,
      () => 0,
    )
  })
})
