import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { DomainQueues } from '../../../src/scheduler/domain-queues.ts'
import type { QueueItem } from '../../../src/scheduler/fair-queue.ts'
import type { HandOver } from '../../../src/scheduler/work-queues.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const STARVATION_MS = 500

function item(key: string, enqueuedAt = 0, deadlineAt = Number.POSITIVE_INFINITY): QueueItem {
  return { key, tenant: tenantOf(key), bytes: 1, enqueuedAt, deadlineAt, expectedMs: 10 }
}

function tenantOf(key: string): string {
  return key.slice(0, key.indexOf('/'))
}

function bench(...slots: string[]): DomainQueues<QueueItem> {
  const queues = new DomainQueues<QueueItem>({
    starvationMs: STARVATION_MS,
    weightOf: () => 1,
    limits: { minBatchMs: 10, maxBatchMs: 250, maxBytes: 1000 },
    domainOf: tenantOf,
    view: {
      pace: () => ({
        isBatchSafe: true,
        maxRows: 2,
        singleMs: 10,
        eachMs: 10,
        activationBytesPerRow: 0,
        activationBudgetBytes: 0,
      }),
      canRun: () => true,
      stealCost: () => ({ openMs: 0, hasPlacementHere: false, isMapped: true, privateBytes: 0 }),
      fixedHome: () => undefined,
    },
  })
  for (const slot of slots) queues.workerUp(slot)
  return queues
}

function given(queues: DomainQueues<QueueItem>, slot: string, now = 0): HandOver<QueueItem> {
  return queues.nextFor(slot, now).handOver ?? assert.fail('nothing was given')
}

describe('queues of workers that are kept apart', () => {
  it('bind a worker to the domain of the first work it is given', () => {
    const queues = bench('w0')
    queues.enqueue(item('a/x'))
    assert.equal(queues.domainOf('w0'), undefined)
    const first = given(queues, 'w0')
    queues.enqueue(item('b/x'))
    queues.enqueue(item('a/y'))
    assert.equal(queues.domainOf('w0'), 'a')
    assert.equal(given(queues, 'w0').key, 'a/y')
    queues.settle(first, 10, 10)
    assert.equal(queues.depth, 1)
  })

  it('want a fresh process for an idle worker when only another domain has work', () => {
    const queues = bench('w0')
    queues.enqueue(item('a/x'))
    const first = given(queues, 'w0')
    queues.enqueue(item('b/x', 5))
    assert.deepEqual(queues.nextFor('w0', 5), { expired: [] }, 'it is at its work still')
    queues.settle(first, 10, 10)
    assert.equal(queues.nextFor('w0', 10).needsFreshProcess, true)
    assert.equal(queues.nextFor('w0', 10).needsFreshProcess, true, 'until it has one')
    queues.workerDown('w0')
    queues.workerUp('w0')
    assert.equal(given(queues, 'w0', 20).key, 'b/x')
    assert.equal(queues.domainOf('w0'), 'b')
  })

  it('replace one worker, not all, for one domain', () => {
    const queues = bench('w0', 'w1')
    for (const slot of ['w0', 'w1']) {
      queues.enqueue(item('a/x'))
      queues.settle(given(queues, slot), 1, 1)
    }
    queues.enqueue(item('b/x', 2))
    assert.equal(queues.nextFor('w0', 2).needsFreshProcess, true)
    assert.deepEqual(queues.nextFor('w1', 2), { expired: [] })
  })

  it('let a domain in that starves behind one that never stops', () => {
    const queues = bench('w0')
    for (let i = 0; i < 20; i++) queues.enqueue(item('a/x'))
    let running = given(queues, 'w0')
    queues.enqueue(item('b/x', 10))
    queues.settle(running, 10, 20)
    running = given(queues, 'w0', 20)
    assert.equal(running.key, 'a/x')
    assert.deepEqual(queues.nextFor('w0', 10 + STARVATION_MS), { expired: [] }, 'gets nothing more')
    queues.settle(running, 10, 10 + STARVATION_MS)
    assert.equal(queues.nextFor('w0', 10 + STARVATION_MS).needsFreshProcess, true)
  })

  it('forget the replacement when nobody wants it any more', () => {
    const queues = bench('w0')
    queues.enqueue(item('a/x'))
    queues.settle(given(queues, 'w0'), 1, 1)
    const left = item('b/x')
    queues.enqueue(left)
    assert.equal(queues.nextFor('w0', 2).needsFreshProcess, true)
    assert.ok(queues.remove(left))
    queues.enqueue(item('a/x', 3))
    assert.equal(given(queues, 'w0', 3).key, 'a/x')
  })

  it('keep the domain when a successor takes the slot over', () => {
    const queues = bench('w0')
    queues.enqueue(item('a/x'))
    given(queues, 'w0')
    queues.workerUp('w0')
    assert.equal(queues.domainOf('w0'), 'a')
  })

  it('tell of requests that are too late', () => {
    const queues = bench('w0')
    const late = item('a/x', 0, 5)
    queues.enqueue(late)
    assert.deepEqual(queues.nextFor('w0', 6), { expired: [late] })
    assert.deepEqual([queues.depth, queues.bytes, queues.domainOf('w0')], [0, 0, undefined])
  })
})

describe('a random walk of 20,000 steps through queues of workers that are kept apart', () => {
  for (const seed of [1, 2, 3]) {
    it(`never gives a process work of two domains, loses nothing, and lets nobody starve (seed ${seed})`, () => {
      const random = seededRandom(seed)
      const slots = ['w0', 'w1', 'w2']
      const queues = bench(...slots)
      const bound = new Map<string, string>()
      const running = new Map<HandOver<QueueItem>, string>()
      const down = new Set<string>()
      const waiting = new Set<QueueItem>()
      let now = 0
      let renewals = 0
      const pick = <E>(from: readonly E[]): E | undefined => from[Math.floor(random() * from.length)]
      const end = (slot: string) => {
        for (const [handOver, at] of running) {
          if (at !== slot) continue
          running.delete(handOver)
          queues.settle(handOver, 0, now)
        }
        queues.workerDown(slot)
        bound.delete(slot)
        down.add(slot)
      }
      const revive = (slot: string) => {
        if (down.delete(slot)) queues.workerUp(slot)
      }
      for (let step = 0; step < 20_000; step++) {
        const dice = random()
        const slot = pick(slots) ?? assert.fail()
        now += random() * 10
        if (dice < 0.35) {
          const one = item(`t${Math.floor(random() ** 2 * 8)}/m${Math.floor(random() * 3)}`, now, now + 4000)
          waiting.add(one)
          queues.enqueue(one)
        } else if (dice < 0.4) {
          const one = pick([...waiting])
          if (one !== undefined) assert.equal(queues.remove(one), waiting.delete(one))
        } else if (dice < 0.42) {
          end(slot)
        } else if (dice < 0.5) {
          revive(slot)
        } else if (dice < 0.7) {
          const [handOver] = pick([...running]) ?? []
          if (handOver !== undefined && running.delete(handOver)) queues.settle(handOver, random() * 20, now)
        } else if (!down.has(slot)) {
          const { handOver, expired, needsFreshProcess } = queues.nextFor(slot, now)
          for (const one of expired) assert.ok(waiting.delete(one))
          if (needsFreshProcess === true) {
            assert.ok(![...running.values()].includes(slot), 'a process at work is not replaced')
            renewals++
            end(slot)
            revive(slot)
          }
          if (handOver !== undefined) {
            const domain = tenantOf(handOver.key)
            assert.equal(bound.get(slot) ?? domain, domain, 'two domains in one process')
            assert.equal(queues.domainOf(slot), domain)
            bound.set(slot, domain)
            running.set(handOver, slot)
            for (const one of handOver.items) assert.ok(waiting.delete(one))
          }
        }
        assert.equal(queues.depth, waiting.size)
        assert.equal(queues.bytes, waiting.size)
      }
      assert.ok(renewals > 100, String(renewals))
      // Everyone who waits gets a turn while no more come.
      for (const slot of slots) revive(slot)
      for (let turns = 0; waiting.size > 0; turns++) {
        assert.ok(turns < 5000, `${waiting.size} wait for ever`)
        now += 20
        for (const [handOver] of running) queues.settle(handOver, 10, now)
        running.clear()
        for (const slot of slots) {
          const { handOver, expired, needsFreshProcess } = queues.nextFor(slot, now)
          for (const one of [...expired, ...(handOver?.items ?? [])]) assert.ok(waiting.delete(one))
          if (handOver !== undefined) running.set(handOver, slot)
          if (needsFreshProcess !== true) continue
          end(slot)
          revive(slot)
        }
      }
    })
  }
})
