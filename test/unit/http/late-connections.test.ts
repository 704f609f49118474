import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { describe, it } from 'node:test'
import { LateConnections } from '../../../src/http/late-connections.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const LATE = new Error('the request did not arrive in time')
const socket = (): Duplex => new Duplex({ read() {} })

describe('connections that are over their time', () => {
  it('are ended a few a turn, in their order, however many are found at once', () => {
    const clock = new ManualClock()
    const ended: Duplex[] = []
    const late = new LateConnections(clock, (_error, one) => ended.push(one))
    const all = Array.from({ length: 1000 }, socket)
    for (const one of all) late.add(LATE, one)
    assert.equal(ended.length, 0)
    let most = 0
    while (late.waiting > 0) {
      const before = ended.length
      clock.tick(1)
      most = Math.max(most, ended.length - before)
    }
    assert.ok(most <= 10, `${most} in one turn`)
    assert.deepEqual(ended, all)
    assert.equal(clock.pendingTimers, 0)
  })

  it('are passed over when they are gone by their turn', () => {
    const clock = new ManualClock()
    const ended: Duplex[] = []
    const late = new LateConnections(clock, (_error, one) => ended.push(one))
    const [gone, there] = [socket(), socket()]
    late.add(LATE, gone)
    late.add(LATE, there)
    gone.destroy()
    clock.tick(1)
    assert.deepEqual(ended, [there])
  })

  it('come again later as well as at once', () => {
    const clock = new ManualClock()
    let ended = 0
    const late = new LateConnections(clock, () => ended++)
    late.add(LATE, socket())
    clock.tick(1)
    late.add(LATE, socket())
    clock.tick(1)
    assert.equal(ended, 2)
  })
})
