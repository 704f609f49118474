import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { admissionRefusal } from '../../../src/scheduler/admission.ts'
import { DrainRate } from '../../../src/scheduler/drain-rate.ts'
import { Estimates } from '../../../src/scheduler/estimates.ts'
import type { ModelPace } from '../../../src/scheduler/hand-over.ts'
import { composeHandOver, expectedMs, handOverMs } from '../../../src/scheduler/hand-over.ts'
import { Occupancy } from '../../../src/scheduler/occupancy.ts'
import { MAX_DUPLICATED_BYTES, mayDuplicate, maySteal } from '../../../src/scheduler/steal.ts'

const LIMITS = { minBatchMs: 10, maxBatchMs: 250, maxBytes: 1000 }
const PACE: ModelPace = {
  isBatchSafe: true,
  maxRows: 64,
  singleMs: 10,
  eachMs: 2,
  activationBytesPerRow: 0,
  activationBudgetBytes: 0,
}
const bodies = (count: number, bytes = 1) => Array.from({ length: count }, () => ({ bytes }))

describe('a hand-over', () => {
  it('lasts four single runs, within its bounds', () => {
    assert.equal(handOverMs(10, LIMITS), 40)
    assert.equal(handOverMs(0.2, LIMITS), 10)
    assert.equal(handOverMs(100, LIMITS), 250)
  })

  it('holds as many requests as its time allows', () => {
    assert.equal(composeHandOver(bodies(100), PACE, LIMITS), 20)
    assert.equal(composeHandOver(bodies(7), PACE, LIMITS), 7)
  })

  it('holds single runs of a model that is not batch-safe, in the same time', () => {
    const pace = { ...PACE, isBatchSafe: false, eachMs: 10, maxRows: 2 }
    assert.equal(composeHandOver(bodies(100), pace, LIMITS), 4)
  })

  it('holds one request, however long or large', () => {
    assert.equal(composeHandOver(bodies(5, 5000), PACE, LIMITS), 1)
    assert.equal(composeHandOver(bodies(5), { ...PACE, singleMs: 9999, eachMs: 9999 }, LIMITS), 1)
    assert.equal(composeHandOver([], PACE, LIMITS), 0)
  })

  it('is bounded by rows, bytes and activations', () => {
    assert.equal(composeHandOver(bodies(100), { ...PACE, maxRows: 3 }, LIMITS), 3)
    assert.equal(composeHandOver(bodies(100, 400), PACE, LIMITS), 2)
    const hungry = { ...PACE, activationBytesPerRow: 10, activationBudgetBytes: 35 }
    assert.equal(composeHandOver(bodies(100), hungry, LIMITS), 4, 'one run, and three rows more')
  })

  it('reads no further than it takes', () => {
    let read = 0
    function* endless() {
      for (; ; read++) yield { bytes: 1 }
    }
    assert.equal(composeHandOver(endless(), PACE, LIMITS), 20)
    assert.equal(read, 20)
  })

  it('is expected to last no less than one run', () => {
    assert.equal(expectedMs(1, PACE), 10)
    assert.equal(expectedMs(2, PACE), 10)
    assert.equal(expectedMs(20, PACE), 40)
  })
})

describe('stealing', () => {
  const question = { homeWaitMs: 31, openMs: 20, hasPlacementHere: false, isMapped: true, privateBytes: 1e9 }

  it('pays only when the wait at home is longer than the open here', () => {
    assert.equal(maySteal(question), true)
    assert.equal(maySteal({ ...question, homeWaitMs: 30 }), false)
  })

  it('costs nothing where the model is open, but leaves an idle home its work', () => {
    assert.equal(maySteal({ ...question, hasPlacementHere: true, homeWaitMs: 0.1, isMapped: false }), true)
    assert.equal(maySteal({ ...question, hasPlacementHere: true, homeWaitMs: 0 }), false)
  })

  it('never opens a large unmapped model twice', () => {
    assert.equal(maySteal({ ...question, isMapped: false, homeWaitMs: 1e9 }), false)
    assert.equal(mayDuplicate({ isMapped: false, privateBytes: MAX_DUPLICATED_BYTES }), true)
    assert.equal(mayDuplicate({ isMapped: false, privateBytes: MAX_DUPLICATED_BYTES + 1 }), false)
  })
})

describe('estimates', () => {
  it('follow what was measured, and take an unknown model for an average one', () => {
    const estimates = new Estimates(10)
    assert.equal(estimates.singleMs('a'), 5)
    estimates.observeRun('a', { requests: 1, runs: 1, busyMs: 100 })
    assert.equal(estimates.singleMs('a'), 100)
    assert.equal(estimates.singleMs('b'), 100)
    estimates.observeRun('a', { requests: 2, runs: 2, busyMs: 100 })
    assert.equal(estimates.singleMs('a'), 90)
  })

  it('tell stacked from single', () => {
    const estimates = new Estimates(10)
    estimates.observeRun('a', { requests: 1, runs: 1, busyMs: 10 })
    assert.equal(estimates.eachMs('a', true), 10)
    estimates.observeRun('a', { requests: 8, runs: 1, busyMs: 16 })
    assert.equal(estimates.eachMs('a', true), 2)
    assert.equal(estimates.eachMs('a', false), 10)
    assert.equal(estimates.singleMs('a'), 10)
  })

  it('know what an open takes, and forget models beyond their bound', () => {
    const estimates = new Estimates(1)
    estimates.observeOpen('a', 40)
    estimates.observeOpen('b', 20)
    assert.equal(estimates.openMs('b'), 20)
    assert.equal(estimates.openMs('a'), 36, 'the average of all')
  })
})

describe('the drain rate', () => {
  it('says when a queue will have been worked off at the pace of now', () => {
    const rate = new DrainRate(0)
    for (let now = 10; now <= 20_000; now += 10) rate.record(1, now)
    assert.ok(Math.abs(rate.perMs(20_000) - 0.1) < 0.005)
    assert.ok(Math.abs(rate.retryAfterMs(50, 20_000) - 500) < 30)
    assert.ok(rate.retryAfterMs(50, 40_000) > 10_000, 'a stalled queue is not promised for soon')
  })

  it('promises nothing absurd', () => {
    const rate = new DrainRate(0)
    assert.equal(rate.retryAfterMs(5, 0), 60_000)
    rate.record(1_000_000, 1000)
    assert.equal(rate.retryAfterMs(1, 1000), 50)
  })
})

describe('admission', () => {
  const limits = { maxQueuedRequests: 100, maxQueuedBytes: 1000, maxQueuedPerModel: 60 }

  function bench() {
    const inside = new Occupancy()
    const ask = (tenant: string, key: string, bytes = 1, isDraining = false) =>
      admissionRefusal({ held: inside.of(tenant, key), limits, isDraining, bytes, tenant, retryAfterMs: (n) => n * 10 })
    const fill = (tenant: string, models = 1) => {
      let admitted = 0
      for (; ask(tenant, `${tenant}/${admitted % models}`) === undefined; admitted++) {
        inside.enter(tenant, `${tenant}/${admitted % models}`, 1)
      }
      return admitted
    }
    return { inside, ask, fill }
  }

  it('lets requests in until the queue of their model is full, and says when to come back', () => {
    const { ask, fill } = bench()
    assert.equal(fill('t'), 60)
    const refusal = ask('t', 't/0')
    assert.equal(refusal?.code, 'OVERLOADED')
    assert.match(refusal.message, /60 requests wait for this model already/)
    assert.equal(refusal.facts.retryAfterMs, 600)
    assert.equal(ask('t', 't/1'), undefined)
  })

  it('never lets one tenant take the whole queue', () => {
    const { ask, fill } = bench()
    assert.equal(fill('flood', 50), 90)
    assert.equal(ask('flood', 'flood/0')?.code, 'OVERLOADED')
    assert.equal(fill('late', 50), 9)
    assert.equal(ask('third', 'third/0'), undefined)
  })

  it('is bounded in requests and bytes altogether', () => {
    const { inside, ask } = bench()
    for (let i = 0; i < 100; i++) inside.enter(`t${i}`, `t${i}`, 0)
    assert.match(ask('new', 'new')?.message ?? '', /100 requests wait already/)
    const heavy = bench()
    heavy.inside.enter('a', 'a', 600)
    assert.match(heavy.ask('b', 'b', 401)?.message ?? '', /no room for 401 B more/)
    assert.equal(heavy.ask('b', 'b', 400), undefined)
  })

  it('lets a body larger than the whole queue in when it is alone', () => {
    const { ask } = bench()
    assert.equal(ask('a', 'a', 5000), undefined)
  })

  it('refuses everything while draining, for another server to take', () => {
    const { ask } = bench()
    assert.equal(ask('a', 'a', 1, true)?.code, 'DRAINING')
  })

  it('forgets who left, once', () => {
    const { inside } = bench()
    const leave = inside.enter('t', 't/a', 5)
    inside.enter('t', 't/b', 7)
    leave()
    leave()
    assert.deepEqual(inside.of('t', 't/a'), {
      total: { requests: 1, bytes: 7 },
      tenant: { requests: 1, bytes: 7 },
      model: { requests: 0, bytes: 0 },
    })
  })
})
