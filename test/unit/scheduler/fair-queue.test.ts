import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { QueueItem } from '../../../src/scheduler/fair-queue.ts'
import { FairQueue } from '../../../src/scheduler/fair-queue.ts'
import { seededRandom } from '../../support/seeded-random.ts'

function item(key: string, enqueuedAt = 0, bytes = 1): QueueItem {
  const slash = key.indexOf('/')
  const tenant = slash === -1 ? key : key.slice(0, slash)
  return { key, tenant, bytes, enqueuedAt, deadlineAt: Number.POSITIVE_INFINITY, expectedMs: 1 }
}

function queueWith({
  weights = {},
  starvationMs = 1e9,
}: {
  weights?: Record<string, number>
  starvationMs?: number
} = {}) {
  return new FairQueue<QueueItem>({ starvationMs, weightOf: (tenant) => weights[tenant] ?? 1 })
}

/** Serves one request and charges it. */
function serve(queue: FairQueue<QueueItem>, now: number, costMs: number, canRun?: (key: string) => boolean) {
  const turn = queue.next(now, canRun)
  if (turn === undefined) return undefined
  const [served] = queue.take(turn.key, 1, now)
  queue.charge(turn.tenant, turn.key, costMs)
  return served
}

describe('a fair queue', () => {
  it('serves the requests of a model in order of arrival', () => {
    const queue = queueWith()
    const items = [1, 2, 3].map((at) => item('a', at))
    for (const one of items) queue.push(one)
    assert.deepEqual(queue.take('a', 2, 9), items.slice(0, 2))
    assert.deepEqual(queue.take('a', 9, 9), items.slice(2))
    assert.equal(queue.next(9), undefined)
  })

  it('divides worker time between tenants by weight, however much each asks for', () => {
    const queue = queueWith({ weights: { gold: 3, plain: 1 } })
    for (let i = 0; i < 4000; i++) queue.push(item(`plain/${i % 7}`))
    for (let i = 0; i < 1000; i++) queue.push(item('gold/a'))
    const servedMs: Record<string, number> = { gold: 0, plain: 0 }
    for (let i = 0; i < 800; i++) {
      const costMs = 1 + (i % 5)
      const { tenant } = serve(queue, i, costMs) ?? assert.fail('nothing waits')
      servedMs[tenant] = (servedMs[tenant] ?? 0) + costMs
    }
    const ratio = (servedMs.gold ?? 0) / (servedMs.plain ?? 1)
    assert.ok(Math.abs(ratio - 3) < 0.1, `gold got ${ratio} times as much`)
  })

  it('divides the time of a tenant between its models by milliseconds, not by requests', () => {
    const queue = queueWith()
    for (let i = 0; i < 1000; i++) {
      queue.push(item('t/slow'))
      queue.push(item('t/fast'))
    }
    const count: Record<string, number> = { 't/slow': 0, 't/fast': 0 }
    for (let i = 0; i < 550; i++) {
      const turn = queue.next(i) ?? assert.fail('nothing waits')
      queue.take(turn.key, 1, i)
      queue.charge(turn.tenant, turn.key, turn.key === 't/slow' ? 10 : 1)
      count[turn.key] = (count[turn.key] ?? 0) + 1
    }
    assert.deepEqual(count, { 't/slow': 50, 't/fast': 500 })
  })

  it('gives no tenant more than its share for the models it splits its work into', () => {
    const queue = queueWith()
    for (let i = 0; i < 1000; i++) queue.push(item(`many/${i}`))
    for (let i = 0; i < 1000; i++) queue.push(item('one/a'))
    let one = 0
    for (let i = 0; i < 400; i++) if (serve(queue, i, 1)?.tenant === 'one') one++
    assert.equal(one, 200)
  })

  it('owes nothing to a tenant for the time it was idle', () => {
    const queue = queueWith()
    for (let i = 0; i < 3000; i++) queue.push(item('busy/a'))
    for (let i = 0; i < 1000; i++) serve(queue, i, 1)
    for (let i = 0; i < 500; i++) queue.push(item('back/a', 1000))
    let back = 0
    for (let i = 0; i < 100; i++) if (serve(queue, 1000 + i, 1)?.tenant === 'back') back++
    assert.equal(back, 50)
  })

  it('does not forget what a model cost because its queue ran empty while others wait', () => {
    const queue = queueWith()
    queue.push(item('t/hog'))
    for (let i = 0; i < 100; i++) queue.push(item('t/meek'))
    queue.take('t/hog', 1, 0)
    queue.charge('t', 't/hog', 50)
    queue.push(item('t/hog', 1))
    const order: string[] = []
    for (let i = 0; i < 52; i++) order.push(serve(queue, 1, 1)?.key ?? '')
    assert.ok(order.indexOf('t/hog') >= 49, `the hog came back after ${order.indexOf('t/hog')}`)
    assert.ok(order.includes('t/hog'))
  })

  it('corrects a charge that turned out too high', () => {
    const queue = queueWith()
    for (let i = 0; i < 10; i++) for (const key of ['a', 'b']) queue.push(item(key))
    queue.take('a', 1, 0)
    queue.charge('a', 'a', 1000)
    queue.charge('a', 'a', -1000)
    const served = Array.from({ length: 6 }, () => serve(queue, 0, 1)?.key)
    assert.equal(served.filter((key) => key === 'a').length, 3)
  })

  it('passes over a model that cannot run, and comes back to it in its order', () => {
    const queue = queueWith()
    for (const key of ['x/a', 'x/b', 'y/a']) queue.push(item(key))
    assert.equal(queue.next(0, (key) => key !== 'x/a')?.key, 'x/b')
    assert.equal(queue.next(0, (key) => key.startsWith('y'))?.key, 'y/a')
    assert.equal(
      queue.next(0, () => false),
      undefined,
    )
    assert.equal(queue.next(0)?.key, 'x/a')
  })

  it('looks at no more models than it was told', () => {
    const queue = queueWith()
    for (let i = 0; i < 50; i++) queue.push(item(`t${i % 5}/${i}`))
    const seen: string[] = []
    const refuse = (key: string) => {
      seen.push(key)
      return false
    }
    assert.equal(queue.next(0, refuse, 7), undefined)
    assert.equal(seen.length, 7)
    assert.equal(queue.next(0, (key) => key === seen[6], 7)?.key, seen[6], 'the last look counts')
  })

  it('lets a model that was passed over for starvationMs go ahead of its turn', () => {
    const queue = queueWith({ starvationMs: 500 })
    queue.push(item('t/dear', 0))
    queue.push(item('t/dear', 0))
    for (let i = 0; i < 1000; i++) queue.push(item('t/cheap', 0))
    queue.take('t/dear', 1, 0)
    queue.charge('t', 't/dear', 1e6)
    for (let now = 1; now <= 500; now++) {
      assert.equal(queue.next(now - 1)?.key, 't/cheap')
      serve(queue, now - 1, 1)
    }
    assert.equal(queue.next(500)?.key, 't/dear')
  })

  it('keeps its shares when everyone waits too long, by letting only every other turn go by age', () => {
    const queue = queueWith({ starvationMs: 100 })
    for (let i = 0; i < 2000; i++) queue.push(item(`flood/${i}`, 0))
    for (let i = 0; i < 2000; i++) queue.push(item('meek/a', 500))
    let meek = 0
    for (let i = 0; i < 400; i++) if (serve(queue, 1000 + i, 1)?.tenant === 'meek') meek++
    assert.ok(meek >= 199, `the tenant that floods nobody got ${meek} of 400 turns`)
  })

  it('takes any one request out, and forgets a model without requests', () => {
    const queue = queueWith()
    const items = [item('a', 1, 10), item('a', 2, 20), item('a', 3, 30)]
    for (const one of items) queue.push(one)
    const middle = items[1] ?? assert.fail()
    assert.equal(queue.remove(middle), true)
    assert.equal(queue.remove(middle), false)
    assert.deepEqual([queue.depth, queue.bytes, queue.depthOf('a')], [2, 40, 2])
    assert.deepEqual(queue.takeAll('a'), [items[0], items[2]])
    assert.deepEqual([queue.depth, queue.bytes, [...queue.keys()]], [0, 0, []])
  })

  it('puts a request that came earlier where it belongs', () => {
    const queue = queueWith()
    const [first, second, third] = [item('a', 1), item('a', 2), item('a', 3)]
    for (const one of [second, third, first]) queue.push(one)
    assert.deepEqual([...queue.itemsOf('a')], [first, second, third])
  })

  it('counts what it holds through any sequence of pushes, takes and removals, and loses nothing', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = seededRandom(seed)
        const queue = queueWith({ starvationMs: 20, weights: { t0: 2 } })
        const waiting = new Set<QueueItem>()
        for (let now = 0; now < 300; now++) {
          const dice = random()
          if (dice < 0.5) {
            const one = item(`t${Math.floor(random() * 4)}/${Math.floor(random() * 3)}`, now, Math.floor(random() * 9))
            queue.push(one)
            waiting.add(one)
          } else if (dice < 0.6) {
            const [one] = waiting
            if (one !== undefined) assert.equal(queue.remove(one), waiting.delete(one))
          } else {
            const turn = queue.next(now, () => random() < 0.7)
            if (turn === undefined) continue
            const taken = queue.take(turn.key, 1 + Math.floor(random() * 3), now)
            assert.ok(taken.length > 0)
            for (const one of taken) assert.ok(one.key === turn.key && waiting.delete(one))
            queue.charge(turn.tenant, turn.key, random() * 10)
          }
          assert.equal(queue.depth, waiting.size)
          assert.equal(
            queue.bytes,
            [...waiting].reduce((sum, { bytes }) => sum + bytes, 0),
          )
          assert.deepEqual(new Set(queue.keys()), new Set([...waiting].map(({ key }) => key)))
        }
        while (serve(queue, 1e9, 1) !== undefined);
        assert.equal(queue.depth, 0)
      }),
      { numRuns: 50 },
    )
  })

  it('shares time evenly within one hand-over between any models that always have work', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 2, maxLength: 8 }), (costs) => {
        const queue = queueWith()
        const servedMs = costs.map(() => 0)
        for (const i of costs.keys()) queue.push(item(`t${i}`, 0))
        for (let now = 0; now < 500; now++) {
          const { key, tenant } = queue.next(now) ?? assert.fail('nothing waits')
          const i = Number(key.slice(1))
          queue.push(item(key, now))
          queue.take(key, 1, now)
          queue.charge(tenant, key, costs[i] ?? 0)
          servedMs[i] = (servedMs[i] ?? 0) + (costs[i] ?? 0)
          // Goyal et al., theorem 1: two flows that wait are never further apart than their longest services together.
          assert.ok(Math.max(...servedMs) - Math.min(...servedMs) <= 2 * Math.max(...costs))
        }
      }),
      { numRuns: 50 },
    )
  })
})
