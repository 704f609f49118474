import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { slru } from '../../../src/cache/eviction-policy.ts'
import { GatewayError } from '../../../src/domain/errors.ts'
import { cacheBench, never } from '../../support/cache-bench.ts'
import { assertCacheAtRest, assertCacheInvariants } from '../../support/cache-invariants.ts'
import { settle } from '../../support/manual-clock.ts'

const TEN = { privateBytes: 10, activationBytes: 0, blobs: [] }

describe('an entry table', () => {
  it('gives a lease only once the model is ready', async () => {
    const { table, load } = cacheBench()
    assert.equal(table.acquire('a'), undefined)
    await load('a', TEN)
    assert.equal(table.acquire('a')?.key, 'a')
  })

  it('gives a lease to everyone who waited for the load', async () => {
    const { table } = cacheBench()
    table.begin('a')
    const waits = [table.join('a', never), table.join('a', never)]
    await table.claim('a', TEN)
    table.advance('a', 'paging')
    table.ready('a', TEN)
    for (const lease of await Promise.all(waits)) lease.release()
    assert.equal(table.pending.leases, 0)
  })

  it('lets a caller leave without ending the load that others wait for', async () => {
    const { table } = cacheBench()
    table.begin('a')
    const leaver = new AbortController()
    const left = table.join('a', leaver.signal)
    const stays = table.join('a', never)
    leaver.abort(new Error('gone home'))
    await assert.rejects(left, /gone home/)
    assert.equal(table.pending.waiters, 1)
    await table.claim('a', TEN)
    table.advance('a', 'paging')
    table.ready('a', TEN)
    assert.equal((await stays).key, 'a')
    assert.equal(table.pending.leases, 1, 'who left holds nothing')
  })

  it('refuses to let more wait than it was told', async () => {
    const { table } = cacheBench({ maxLoadWaiters: 1 })
    table.begin('a')
    const first = table.join('a', never)
    await assert.rejects(table.join('a', never), { code: 'OVERLOADED' })
    table.cancel('a', new GatewayError('MODEL_LOADING', 'given up'))
    await assert.rejects(first, { code: 'MODEL_LOADING' })
    assert.equal(table.pending.waiters, 0)
  })

  it('has one load a key', () => {
    const { table } = cacheBench()
    table.begin('a')
    assert.throws(() => table.begin('a'), /a has an entry already/)
  })

  it('evicts the coldest to make room, and grants the room when its close has completed', async () => {
    const { table, ledger, load, drained } = cacheBench({ budgetBytes: 25, autoFree: false })
    await load('a', TEN, { placement: 1 })
    await load('b', TEN)
    table.acquire('a')?.release()
    ledger.removePlacement('a', 1)
    table.acquire('b')?.release()
    ledger.addPlacement('a', 2, 10)
    table.begin('c')
    const claim = table.claim('c', TEN)
    assert.deepEqual(drained, ['a'])
    assert.equal(table.pending.claims, 1)
    ledger.removePlacement('a', 2)
    table.freed('a')
    await claim
    assert.equal(table.pending.claims, 0)
    assertCacheInvariants(table, ledger)
  })

  it('remembers that an evicted model was asked for again and again, so that its return is none of a stranger', async () => {
    const { clock, table, load, drained } = cacheBench({ budgetBytes: 25, policy: slru })
    await load('hot', TEN)
    for (let i = 0; i < 3; i++) {
      clock.tick(100)
      table.acquire('hot')?.release()
    }
    table.pin('hot')
    await load('a', TEN)
    table.unpin('hot')
    table.drain('a', 'unloaded')
    // Nothing else is there to evict.
    await load('large', { ...TEN, privateBytes: 25 })
    assert.deepEqual(drained, ['a', 'hot'])
    table.drain('large', 'unloaded')
    clock.tick(100)
    await load('hot', TEN)
    table.acquire('hot')?.release()
    clock.tick(10)
    for (const stranger of ['b', 'c', 'd']) {
      await load(stranger, TEN)
      table.acquire(stranger)?.release()
      clock.tick(10)
    }
    assert.deepEqual(drained.slice(3), ['b', 'c'], 'by last use alone it would have been the first to go')
  })

  it('never evicts what is leased, pinned, too young or has work, and says so with the arithmetic', async () => {
    const busy = new Set(['busy'])
    const { table, clock, load } = cacheBench({
      budgetBytes: 40,
      minResidencyMs: 1000,
      hasWork: (key) => busy.has(key),
    })
    for (const key of ['leased', 'pinned', 'busy']) await load(key, TEN)
    clock.tick(5000)
    await load('young', TEN)
    const lease = table.acquire('leased')
    table.pin('pinned')
    table.begin('new')
    await assert.rejects(table.claim('new', TEN), (error: GatewayError) => {
      assert.equal(error.code, 'CAPACITY_EXHAUSTED')
      assert.match(error.message, /no room for new: it needs 10 B .*40 B of 40 B are used/)
      assert.match(error.message, /1 are pinned, 1 in use, 0 loading, 0 leaving, 2 idle/)
      assert.equal(error.facts.retryAfterMs, 1000)
      assert.equal(error.facts.details?.needBytes, 10)
      return true
    })
    lease?.release()
    await table.claim('new', TEN)
    assert.equal(table.get('leased'), undefined, 'once released it may go')
  })

  it('refuses at once what no eviction could ever make fit', async () => {
    const { table } = cacheBench({ budgetBytes: 25 })
    table.begin('big')
    await assert.rejects(table.claim('big', { privateBytes: 20, activationBytes: 6, blobs: [] }), {
      code: 'MODEL_TOO_LARGE',
      message: /needs 26 B, more than the whole memory budget of 25 B/,
    })
  })

  it('makes room for all who wait at once, first come first granted', async () => {
    const { table, ledger, load, drained } = cacheBench({ budgetBytes: 20, autoFree: false })
    await load('a', TEN, { placement: 1 })
    await load('b', TEN, { placement: 2 })
    const granted: string[] = []
    for (const key of ['c', 'd']) {
      table.begin(key)
      const claim = table.claim(key, TEN).then(() => granted.push(key))
      assert.ok(claim)
    }
    assert.deepEqual(drained, ['a', 'b'], 'both victims close side by side')
    ledger.removePlacement('b', 2)
    table.freed('b')
    await settle()
    assert.deepEqual(granted, ['c'])
    ledger.removePlacement('a', 1)
    table.freed('a')
    await settle()
    assert.deepEqual(granted, ['c', 'd'])
  })

  it('does not let small claims overtake a large one for ever', async () => {
    const { table, ledger, load } = cacheBench({ budgetBytes: 30, autoFree: false })
    await load('a', TEN, { placement: 1 })
    await load('b', TEN, { placement: 2 })
    await load('c', { privateBytes: 9, activationBytes: 0, blobs: [] }, { placement: 3 })
    const granted: string[] = []
    for (const [key, privateBytes] of [
      ['large', 20],
      ['small', 1],
    ] as const) {
      table.begin(key)
      table.claim(key, { privateBytes, activationBytes: 0, blobs: [] }).then(
        () => granted.push(key),
        () => assert.fail(`${key} was refused`),
      )
    }
    await settle()
    assert.deepEqual(granted, [], 'one byte is free, but the large claim came first')
    for (const [key, placement] of [
      ['a', 1],
      ['b', 2],
    ] as const) {
      ledger.removePlacement(key, placement)
      table.freed(key)
    }
    await settle()
    assert.deepEqual(granted, ['large', 'small'])
  })

  it('evicts nobody for bytes that are in memory already', async () => {
    const backbone = { digest: 'backbone', bytes: 100 }
    const { table, load, drained } = cacheBench({ budgetBytes: 130 })
    await load('a', { privateBytes: 10, activationBytes: 0, blobs: [backbone] })
    await load('b', { privateBytes: 10, activationBytes: 0, blobs: [backbone] })
    assert.deepEqual(drained, [])
    assert.deepEqual(
      [...table.entries()].map(({ key }) => key),
      ['a', 'b'],
    )
  })

  it('gives up the memory that a leaving client waited for', async () => {
    const { table, ledger, load } = cacheBench({ budgetBytes: 10, autoFree: false })
    await load('a', TEN, { placement: 1 })
    table.begin('b')
    const stop = new AbortController()
    const claim = table.claim('b', TEN, { signal: stop.signal })
    stop.abort(new Error('shutting down'))
    await assert.rejects(claim, /shutting down/)
    assert.equal(ledger.phaseOf('b'), undefined)
    assert.equal(table.pending.claims, 0)
  })

  it('replaces a reservation by a better known demand', async () => {
    const { table, ledger } = cacheBench({ budgetBytes: 100 })
    table.begin('a')
    await table.claim('a', { privateBytes: 90, activationBytes: 0, blobs: [] })
    await table.claim('a', TEN)
    assert.equal(ledger.usedBytes, 10)
  })

  it('drains only when the last lease is back, and lets the key be loaded again only when it is gone', async () => {
    const { table, load, drained } = cacheBench({ autoFree: false })
    await load('a', TEN)
    const leases = [table.acquire('a'), table.acquire('a')]
    assert.equal(table.drain('a', 'unload'), true)
    assert.equal(table.acquire('a'), undefined)
    leases[0]?.release()
    leases[0]?.release()
    assert.deepEqual(drained, [])
    leases[1]?.release()
    assert.deepEqual(drained, ['a'])
    let isGone = false
    const gone = table.whenGone('a', never).then(() => (isGone = true))
    await settle()
    assert.equal(isGone, false)
    assert.throws(() => table.begin('a'), /has an entry/)
    table.freed('a')
    await gone
    assert.equal(table.begin('a').status.s, 'queued')
  })

  it('remembers a failure for its back-off, which doubles with each attempt', async () => {
    const { table, clock } = cacheBench({ failure: { baseMs: 1000, maxMs: 60_000 } })
    for (const waitMs of [1000, 2000, 4000]) {
      table.begin('a')
      const waiter = table.join('a', never)
      table.fail('a', new GatewayError('STORE_UNAVAILABLE', 'no answer'))
      await assert.rejects(waiter, { code: 'STORE_UNAVAILABLE' })
      assert.equal(table.get('a')?.status.s, 'failed')
      clock.tick(waitMs - 1)
      assert.throws(
        () => table.begin('a'),
        (error: GatewayError) => error.code === 'STORE_UNAVAILABLE' && error.facts.retryAfterMs === 1,
      )
      clock.tick(1)
    }
    assert.equal(table.begin('a').attempt, 4)
  })

  it('keeps a failure that lies in the bytes until it is told to forget it', () => {
    const { table, clock } = cacheBench()
    table.begin('a')
    table.fail('a', new GatewayError('ARTIFACT_INVALID', 'not ONNX'))
    clock.tick(1e9)
    assert.throws(() => table.begin('a'), { code: 'ARTIFACT_INVALID' })
    table.forgetFailure('a')
    assert.equal(table.begin('a').attempt, 1)
  })

  it('does not hold it against a model that memory was short', () => {
    const { table } = cacheBench()
    table.begin('a')
    table.fail('a', new GatewayError('CAPACITY_EXHAUSTED', 'full'))
    assert.equal(table.begin('a').attempt, 1)
  })

  it('bounds the failures it remembers', () => {
    const { table } = cacheBench({ failure: { maxEntries: 2 } })
    for (const key of ['a', 'b', 'c']) {
      table.begin(key)
      table.fail(key, new GatewayError('ARTIFACT_INVALID', 'not ONNX'))
    }
    assert.deepEqual([...table.failures()].map(({ key }) => key).toSorted(), ['b', 'c'])
  })

  it('drains a ready model that turns out to be broken and then fails it', async () => {
    const { table, ledger, load } = cacheBench({ autoFree: false })
    await load('a', TEN)
    table.fail('a', new Error('cannot be opened'))
    assert.equal(table.get('a')?.status.s, 'draining')
    table.freed('a')
    assert.throws(() => table.begin('a'), { code: 'MODEL_LOAD_FAILED' })
    assertCacheAtRest(table, ledger)
  })

  it('evicts what exceeds the budget after a measurement, and says so when nothing can go', async () => {
    const { table, ledger, events, load } = cacheBench({ budgetBytes: 30 })
    await load('a', TEN)
    await load('b', TEN, { placement: 1 })
    ledger.measurePlacement('b', 1, 25)
    table.rebalance()
    assert.equal(table.get('a'), undefined)
    table.pin('b')
    ledger.measurePlacement('b', 1, 35)
    table.rebalance()
    assert.deepEqual(
      events.filter(({ kind }) => kind === 'overrun'),
      [{ kind: 'overrun', bytes: 5 }],
    )
  })

  it('evicts what exceeds the budget as soon as it may go: when its last lease ends, when its pin goes', async () => {
    const { table, ledger, events, load } = cacheBench({ budgetBytes: 30, autoFree: false })
    await load('a', TEN, { placement: 1 })
    const lease = table.acquire('a')
    table.pin('a')
    ledger.measurePlacement('a', 1, 35)
    table.rebalance()
    table.rebalance()
    assert.equal(events.filter(({ kind }) => kind === 'overrun').length, 1, 'it is told once')
    lease?.release()
    assert.equal(table.get('a')?.status.s, 'ready')
    table.unpin('a')
    assert.equal(table.get('a')?.status.s, 'draining')
    ledger.removePlacement('a', 1)
    table.freed('a')
    await load('b', TEN, { placement: 2 })
    const second = table.acquire('b')
    ledger.measurePlacement('b', 2, 35)
    table.rebalance()
    second?.release()
    assert.equal(table.get('b')?.status.s, 'draining')
  })

  it('tells hits, misses and how old and idle an evicted model was', async () => {
    const { table, clock, events, load } = cacheBench({ budgetBytes: 10 })
    table.begin('a')
    const wait = table.join('a', never)
    await table.claim('a', TEN)
    table.advance('a', 'paging')
    table.ready('a', TEN)
    clock.tick(100)
    ;(await wait).release()
    table.acquire('a')?.release()
    clock.tick(50)
    await load('b', TEN)
    assert.deepEqual(
      events.filter(({ kind }) => kind !== 'moved'),
      [
        { kind: 'miss', key: 'a' },
        { kind: 'hit', key: 'a' },
        { kind: 'evicted', key: 'a', ageMs: 150, idleMs: 50, uses: 2 },
      ],
    )
  })

  it('makes room among entries when their number is bounded', async () => {
    const { table, load, drained } = cacheBench({ maxEntries: 2 })
    await load('a', TEN)
    await load('b', TEN)
    table.begin('c')
    assert.deepEqual(drained, ['a'])
    const lease = table.acquire('b')
    assert.throws(() => table.begin('d'), { code: 'CAPACITY_EXHAUSTED' })
    lease?.release()
  })

  it('puts an unpinned model back in line', async () => {
    const { table, load } = cacheBench({ budgetBytes: 10 })
    table.pin('a')
    await load('a', TEN)
    table.unpin('a')
    await load('b', TEN)
    assert.equal(table.get('a'), undefined)
  })

  it('ends every wait when it closes, twice as well as once, and starts nothing after that', async () => {
    const { table, ledger, load } = cacheBench({ budgetBytes: 10, autoFree: false })
    await load('a', TEN, { placement: 1 })
    table.begin('b')
    const waits = [table.join('b', never), table.claim('b', TEN), table.whenGone('a', never)]
    const closed = new GatewayError('DRAINING', 'going away')
    table.close(closed)
    table.close(closed)
    for (const wait of waits) await assert.rejects(wait, { code: 'DRAINING' })
    assert.throws(() => table.begin('c'), { code: 'DRAINING' })
    await assert.rejects(table.join('b', never), { code: 'DRAINING' })
    assert.deepEqual(table.pending, { leases: 0, waiters: 0, claims: 0 })
    assertCacheInvariants(table, ledger)
  })
})
