import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { MemoryUse } from '../../../src/worker/memory-guard.ts'
import { chooseOver, MemoryGuard } from '../../../src/worker/memory-guard.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const LIMITS = { eachBytes: 100, togetherBytes: 150 }

function use(id: string, privateBytes: number, chargedBytes = 0): MemoryUse {
  return { id, privateBytes, chargedBytes }
}

describe('the worker to kill for its memory', () => {
  it('is none while each and all are within their limits', () => {
    assert.equal(chooseOver([use('a', 100), use('b', 50)], LIMITS), undefined)
    assert.equal(chooseOver([], LIMITS), undefined)
  })

  it('is the one that is over its own limit, however much is charged to it', () => {
    assert.equal(chooseOver([use('a', 101, 101), use('b', 40)], LIMITS)?.id, 'a')
  })

  it('is, when all together are over, the one furthest beyond what is open in it, not the largest', () => {
    const uses = [use('large', 90, 88), use('grown', 65, 5)]
    assert.equal(chooseOver(uses, LIMITS)?.id, 'grown')
  })
})

describe('a memory guard', () => {
  function scene() {
    const clock = new ManualClock()
    const memory = new Map([
      [11, 50],
      [12, 50],
    ])
    const kills: unknown[] = []
    const workers = ['a', 'b'].map((id, i) => ({
      id,
      pid: 11 + i,
      isBusy: false,
      kill: (...how: unknown[]) => void kills.push([id, ...how]),
    }))
    let reads = 0
    const guard = new MemoryGuard({
      clock,
      limits: LIMITS,
      workers: () => workers,
      chargedBytes: () => 0,
      onOver: (id, bytes) => void kills.push(['told', id, bytes]),
      read: (pid) => {
        reads++
        return memory.get(pid)
      },
    })
    return { clock, memory, kills, workers, guard, reads: () => reads }
  }

  it('reads nothing while no worker is at anything', async () => {
    const { clock, reads, guard } = scene()
    await clock.advance(10_000)
    assert.equal(reads(), 0)
    guard.close()
  })

  it('tells of the one that is over and kills it for that, with what it had', async () => {
    const { clock, memory, workers, kills, guard } = scene()
    const [a] = workers
    assert.ok(a)
    a.isBusy = true
    await clock.advance(1000)
    assert.deepEqual(kills, [])
    memory.set(11, 120)
    await clock.advance(100)
    assert.deepEqual(kills, [
      ['told', 'a', 120],
      ['a', 'memory-cap', 120],
    ])
    guard.close()
    assert.equal(clock.pendingTimers, 0)
  })

  it('takes a process that is gone for one without memory', async () => {
    const { clock, memory, workers, kills, guard } = scene()
    for (const worker of workers) worker.isBusy = true
    memory.clear()
    await clock.advance(500)
    assert.deepEqual(kills, [])
    guard.close()
  })
})
