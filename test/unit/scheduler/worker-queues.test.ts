import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { QueueItem } from '../../../src/scheduler/fair-queue.ts'
import type { ModelPace } from '../../../src/scheduler/hand-over.ts'
import type { HandOver } from '../../../src/scheduler/work-queues.ts'
import type { ModelView } from '../../../src/scheduler/worker-queues.ts'
import { WorkerQueues } from '../../../src/scheduler/worker-queues.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const PACE: ModelPace = {
  isBatchSafe: true,
  maxRows: 8,
  singleMs: 10,
  eachMs: 5,
  activationBytesPerRow: 0,
  activationBudgetBytes: 0,
}

function item(key: string, options: Partial<QueueItem> = {}): QueueItem {
  return { key, tenant: key, bytes: 1, enqueuedAt: 0, deadlineAt: Number.POSITIVE_INFINITY, expectedMs: 10, ...options }
}

function bench(workers: readonly string[], view: Partial<ModelView> = {}) {
  const queues = new WorkerQueues<QueueItem>({
    starvationMs: 1e9,
    weightOf: () => 1,
    limits: { minBatchMs: 10, maxBatchMs: 250, maxBytes: 1000 },
    view: {
      pace: () => PACE,
      canRun: () => true,
      stealCost: () => ({ openMs: 1e9, hasPlacementHere: false, isMapped: true, privateBytes: 0 }),
      fixedHome: () => undefined,
      ...view,
    },
  })
  for (const id of workers) queues.workerUp(id)
  return queues
}

describe('the queues of the workers', () => {
  it('hand all that fits of one model to its home', () => {
    const queues = bench(['w0', 'w1'])
    const items = Array.from({ length: 12 }, () => item('a'))
    const home = queues.enqueue(items[0] ?? assert.fail()) ?? assert.fail()
    for (const one of items.slice(1)) assert.equal(queues.enqueue(one), home)
    const { handOver } = queues.nextFor(home, 0)
    assert.deepEqual(handOver?.items, items.slice(0, 8), '8 rows, though 40 ms would hold 8 too')
    assert.equal(handOver.expectedMs, 40)
    assert.equal(queues.depth, 4)
  })

  it('leave a model to its home while waiting there costs less than opening it elsewhere', () => {
    const queues = bench(['w0', 'w1'], {
      stealCost: () => ({ openMs: 15, hasPlacementHere: false, isMapped: true, privateBytes: 0 }),
    })
    const home = queues.enqueue(item('a')) ?? assert.fail()
    const other = home === 'w0' ? 'w1' : 'w0'
    assert.equal(queues.nextFor(other, 0).handOver, undefined)
    for (let i = 0; i < 3; i++) queues.enqueue(item('a'))
    const taken = queues.nextFor(other, 0).handOver
    assert.deepEqual([taken?.workerId, taken?.homeId, taken?.items.length], [other, home, 4])
  })

  it('let others take what waits behind a run that is overdue by more than an open takes, as it may be hanging', () => {
    const queues = bench(['w0', 'w1'], {
      stealCost: () => ({ openMs: 15, hasPlacementHere: false, isMapped: true, privateBytes: 0 }),
    })
    const home = queues.enqueue(item('a')) ?? assert.fail()
    const other = home === 'w0' ? 'w1' : 'w0'
    assert.equal(queues.nextFor(home, 0).handOver?.expectedMs, 10)
    queues.enqueue(item('a'))
    assert.equal(queues.nextFor(other, 12).handOver, undefined, 'overdue by little')
    assert.ok(queues.nextFor(other, 10 + 15 + 15).handOver)
  })

  it('let an idle worker take what is open there as soon as the home is busy', () => {
    const queues = bench(['w0', 'w1'], {
      stealCost: () => ({ openMs: 1e9, hasPlacementHere: true, isMapped: true, privateBytes: 0 }),
    })
    const home = queues.enqueue(item('a')) ?? assert.fail()
    const other = home === 'w0' ? 'w1' : 'w0'
    assert.equal(queues.nextFor(other, 0).handOver, undefined, 'the idle home takes it itself')
    const running = queues.nextFor(home, 0).handOver ?? assert.fail()
    queues.enqueue(item('a'))
    assert.equal(queues.nextFor(other, 0).handOver?.workerId, other)
    queues.settle(running, 10, 10)
  })

  it('never take a model away from the only worker that may have it', () => {
    const queues = bench(['w0', 'w1', 'w2'], {
      fixedHome: () => 'w1',
      stealCost: () => ({ openMs: 0, hasPlacementHere: false, isMapped: false, privateBytes: 1e8 }),
    })
    for (let i = 0; i < 50; i++) assert.equal(queues.enqueue(item('tree')), 'w1')
    for (const id of ['w0', 'w2']) assert.equal(queues.nextFor(id, 0).handOver, undefined)
    assert.equal(queues.nextFor('w1', 0).handOver?.items.length, 8)
  })

  it('keep work whose deadline passed away from workers', () => {
    const queues = bench(['w0'])
    const late = [item('a', { deadlineAt: 5 }), item('a', { deadlineAt: 10 })]
    const live = item('a', { deadlineAt: 11 })
    for (const one of [late[0], live, late[1]]) queues.enqueue(one ?? assert.fail())
    const { handOver, expired } = queues.nextFor('w0', 10)
    assert.deepEqual(handOver?.items, [live])
    assert.deepEqual(expired, late)
    queues.enqueue(item('b', { deadlineAt: 10 }))
    const empty = queues.nextFor('w0', 10)
    assert.deepEqual([empty.handOver, empty.expired.length, queues.depth], [undefined, 1, 0])
  })

  it('move the models of a worker that goes down to their next homes, in order, and back when it returns', () => {
    const queues = bench(['w0', 'w1', 'w2'])
    const keys = Array.from({ length: 60 }, (_, i) => `m${i}`)
    const before = new Map(keys.map((key) => [key, queues.enqueue(item(key, { enqueuedAt: 1 }))]))
    for (const key of keys) queues.enqueue(item(key, { enqueuedAt: 2 }))
    queues.workerDown('w1')
    assert.equal(queues.depth, 120)
    assert.equal(queues.depthAt('w1'), 0)
    for (const key of keys) {
      if (before.get(key) !== 'w1') assert.equal(queues.homeOf(key), before.get(key), 'others stay where they are')
      assert.deepEqual(
        [...queues.itemsOf(key)].map(({ enqueuedAt }) => enqueuedAt),
        [1, 2],
      )
    }
    queues.workerUp('w1')
    assert.equal(queues.depthAt('w1'), 2 * [...before.values()].filter((id) => id === 'w1').length)
  })

  it('hold requests while no worker is up', () => {
    const queues = bench([])
    assert.equal(queues.enqueue(item('a')), undefined)
    assert.deepEqual(queues.nextFor('w0', 0), { expired: [] })
    queues.workerUp('w0')
    assert.equal(queues.nextFor('w0', 0).handOver?.items.length, 1)
  })

  it('know how long a worker is busy, from what it was given until that is settled', () => {
    const queues = bench(['w0'])
    queues.enqueue(item('a'))
    queues.enqueue(item('b'))
    const { handOver } = queues.nextFor('w0', 100)
    assert.equal(queues.expectedWaitMs('w0', 104), 6 + 10)
    queues.settle(handOver ?? assert.fail(), 30, 130)
    assert.equal(queues.expectedWaitMs('w0', 130), 10)
  })

  it('charge what a hand-over really cost, so that the dear model waits longer', () => {
    const queues = bench(['w0'])
    const counts: Record<string, number> = { dear: 0, cheap: 0 }
    for (let now = 0; now < 100; now++) {
      for (const key of ['dear', 'cheap']) if (queues.depthOf(key) === 0) queues.enqueue(item(key, { enqueuedAt: now }))
      const handOver = queues.nextFor('w0', now).handOver ?? assert.fail('nothing waits')
      counts[handOver.key] = (counts[handOver.key] ?? 0) + 1
      for (const key of ['dear', 'cheap']) if (queues.depthOf(key) === 0) queues.enqueue(item(key, { enqueuedAt: now }))
      queues.settle(handOver, handOver.key === 'dear' ? 90 : 10, now)
    }
    assert.ok((counts.cheap ?? 0) >= 8 * (counts.dear ?? 0), JSON.stringify(counts))
  })

  it('lose and double nothing in 10,000 random steps with workers that come and go', () => {
    const random = seededRandom(7)
    const queues = bench(['w0', 'w1', 'w2'], {
      canRun: () => random() < 0.9,
      stealCost: () => ({ openMs: 20, hasPlacementHere: random() < 0.3, isMapped: true, privateBytes: 0 }),
    })
    const up = new Set(['w0', 'w1', 'w2'])
    const waiting = new Set<QueueItem>()
    const running: HandOver<QueueItem>[] = []
    let steals = 0
    for (let now = 0; now < 10_000; now++) {
      const worker = `w${Math.floor(random() * 3)}`
      const dice = random()
      if (dice < 0.45) {
        const one = item(`m${Math.floor(random() ** 2 * 30)}`, {
          enqueuedAt: now,
          deadlineAt: now + 5 + random() * 200,
        })
        queues.enqueue(one)
        waiting.add(one)
      } else if (dice < 0.7) {
        const { handOver, expired } = queues.nextFor(worker, now)
        for (const one of expired) assert.ok(waiting.delete(one) && one.deadlineAt <= now)
        for (const one of handOver?.items ?? []) assert.ok(waiting.delete(one) && one.deadlineAt > now)
        if (handOver !== undefined) running.push(handOver)
        if (handOver !== undefined && handOver.homeId !== handOver.workerId) steals++
      } else if (dice < 0.95) {
        const handOver = running.shift()
        if (handOver !== undefined) queues.settle(handOver, random() * 50, now)
      } else if (dice < 0.97) {
        const [one] = waiting
        if (one !== undefined) assert.equal(queues.remove(one), waiting.delete(one))
      } else if (up.delete(worker)) queues.workerDown(worker)
      else {
        up.add(worker)
        queues.workerUp(worker)
      }
      assert.equal(queues.depth, waiting.size)
      assert.equal(queues.bytes, waiting.size)
    }
    assert.ok(steals > 50, `${steals} steals`)
  })
})
