import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ChildGoneError } from '../../../src/child/calls.ts'
import { WorkerPool } from '../../../src/worker/worker-pool.ts'
import { ManualClock, settle } from '../../support/manual-clock.ts'
import { ScriptedSpawner } from '../../support/scripted-child.ts'

const NEVER = new Promise<never>(() => {})

function scene(count: number, keepsSpare = false) {
  const clock = new ManualClock()
  const spawner = new ScriptedSpawner()
  const ups: string[] = []
  const downs: string[] = []
  const unfit: string[] = []
  const pool = new WorkerPool({
    count,
    clock,
    keepsSpare,
    spawn: spawner.spawn,
    respawn: { baseMs: 100, maxMs: 1000 },
    // The upper end of the jitter.
    random: () => 1,
    onLine: () => {},
    onUp: ({ id }) => ups.push(id),
    onDown: ({ id }, { reason }) => downs.push(`${id} ${reason}`),
    onUnfit: ({ id }) => unfit.push(id),
  })
  const quiet = async () => {
    for (let turn = 0; turn < 20; turn++) await settle()
  }
  return {
    clock,
    spawner,
    pool,
    ups,
    downs,
    unfit,
    quiet,
    advance: async (ms: number) => {
      await clock.advance(ms)
      await quiet()
    },
    end: async () => {
      await pool.close(1000)
      assert.ok(spawner.children.every(({ isAlive }) => !isAlive))
      assert.equal(clock.pendingTimers, 0)
    },
  }
}

describe('a worker that dies', () => {
  it('at its start again and again is tried ever more seldom, while the others stay as they are', async () => {
    const { pool, spawner, clock, ups, unfit, quiet, advance, end } = scene(2)
    await pool.start()
    const [, second] = pool.workers
    spawner.handle = () => NEVER
    spawner.children[0]?.die()
    await quiet()
    assert.equal(spawner.children.length, 2)
    // 100, 200, 400, 800, and 1000 from then on.
    const startedAt: number[] = []
    for (let ms = 0; ms < 6000; ms += 50) {
      await advance(50)
      const last = spawner.children.at(-1)
      if (spawner.children.length === 2 + startedAt.length || last === undefined) continue
      startedAt.push(clock.now())
      last.die()
      await quiet()
    }
    assert.deepEqual(startedAt.slice(0, 7), [100, 300, 700, 1500, 2500, 3500, 4500])
    assert.deepEqual(ups, ['worker-0', 'worker-1'])
    assert.ok(unfit.every((id) => id === 'worker-0') && unfit.length >= 7)
    assert.ok(second?.isUp)
    await end()
  })

  it('of what it was given, however often, is started again with the shortest pause', async () => {
    const { pool, spawner, ups, downs, quiet, advance, end } = scene(1)
    await pool.start()
    for (let death = 0; death < 4; death++) {
      spawner.children.at(-1)?.die()
      await quiet()
      await advance(100)
      assert.equal(spawner.children.length, death + 2)
    }
    assert.equal(ups.length, 5)
    assert.deepEqual(new Set(downs), new Set(['worker-0 crash']))
    await end()
  })

  it('for which no process can be made is tried again with back-off, and comes back', async () => {
    const { pool, spawner, unfit, downs, quiet, advance, end } = scene(1)
    await pool.start()
    const [worker] = pool.workers
    spawner.broken = new Error('EMFILE')
    spawner.children[0]?.die()
    await quiet()
    await advance(10_000)
    assert.ok(unfit.length >= 8 && unfit.length <= 14, String(unfit.length))
    assert.equal(worker?.isUp, false)
    await assert.rejects(worker?.close(1) ?? Promise.resolve(), ChildGoneError)
    spawner.broken = undefined
    await advance(1000)
    assert.equal(worker?.isUp, true)
    assert.deepEqual(downs, ['worker-0 crash'])
    await end()
  })

  it('to serve another domain is tried again with back-off too when no process can be made for that', async () => {
    const { pool, spawner, quiet, advance, end } = scene(1)
    await pool.start()
    const [worker] = pool.workers
    // Fails so often at most, or a loop without a pause would never let this test end.
    let failures = 100
    Object.defineProperty(spawner, 'broken', { get: () => (failures-- > 0 ? new Error('EMFILE') : undefined) })
    worker?.kill('rebind')
    await quiet()
    assert.equal(spawner.attempts, 2, 'the next try is due later')
    failures = 0
    await advance(100)
    assert.equal(worker?.isUp, true)
    await end()
  })

  it('says what it was killed for, which the process cannot', async () => {
    const { pool, spawner, downs, quiet, advance, end } = scene(1)
    await pool.start()
    const [worker] = pool.workers
    assert.ok(worker)
    for (const reason of ['hang', 'memory-cap'] as const) {
      const call = assert.rejects(
        worker.close(1),
        (error: { exit?: { reason?: string } }) => error.exit?.reason === reason,
      )
      spawner.handle = () => []
      worker.kill(reason)
      assert.equal(worker.isUp, false, 'it is sent nothing any more')
      await quiet()
      await call.catch(() => {})
      await advance(1000)
    }
    spawner.children.at(-1)?.die({ code: null, signal: 'SIGKILL' })
    await quiet()
    assert.deepEqual(downs, ['worker-0 hang', 'worker-0 memory-cap', 'worker-0 host'])
    await end()
  })
})

describe('a pool with a spare process', () => {
  it('hands it over at once to a worker that is to serve another domain, without a pause', async () => {
    const { pool, spawner, ups, downs, quiet, end } = scene(1, true)
    await pool.start()
    await quiet()
    assert.equal(spawner.children.length, 2)
    const [worker] = pool.workers
    const spare = spawner.children[1]?.pid
    worker?.kill('rebind')
    await quiet()
    assert.equal(worker?.pid, spare)
    assert.deepEqual([ups.length, downs], [2, ['worker-0 rebind']])
    assert.equal(spawner.children.length, 3, 'the next spare')
    await end()
  })

  it('makes another when it dies, with a pause', async () => {
    const { pool, spawner, quiet, advance, end } = scene(1, true)
    await pool.start()
    await quiet()
    spawner.children[1]?.die()
    await quiet()
    assert.equal(spawner.children.length, 2)
    await advance(100)
    assert.equal(spawner.children.length, 3)
    await end()
  })
})

describe('a worker whose slot was given to a successor', () => {
  it('while it was starting again is not announced as the one of the slot', async () => {
    const { pool, spawner, ups, downs, quiet, advance, end } = scene(1)
    await pool.start()
    const successor = await pool.succeed('worker-0')
    spawner.children[0]?.die()
    await quiet()
    const greeting = Promise.withResolvers<readonly Uint8Array[]>()
    spawner.handle = () => greeting.promise
    await advance(100)
    assert.equal(spawner.children.length, 3, 'it is on its way up')
    const predecessor = pool.promote(successor)
    const retired = pool.retire(predecessor, 1000)
    greeting.resolve([])
    await quiet()
    await retired
    assert.deepEqual(ups, ['worker-0'])
    assert.deepEqual(downs, ['worker-0 crash'])
    assert.deepEqual([pool.workers, successor.isUp], [[successor], true])
    await end()
  })
})
