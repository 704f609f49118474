import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, it } from 'node:test'
import { Semaphore } from '../../../src/lib/semaphore.ts'
import { settle } from '../../support/manual-clock.ts'

describe('Semaphore', () => {
  it('lets at most its limit in, and the others in order of arrival', async () => {
    const semaphore = new Semaphore(2)
    const gates = Array.from({ length: 5 }, () => Promise.withResolvers<void>())
    const entered: number[] = []
    const work = gates.map((gate, index) =>
      semaphore.use(() => {
        entered.push(index)
        return gate.promise
      }),
    )
    await settle()
    assert.deepEqual(entered, [0, 1])
    assert.equal(semaphore.waiting, 3)
    gates[1]?.resolve()
    await settle()
    assert.deepEqual(entered, [0, 1, 2])
    for (const gate of gates) gate.resolve()
    await Promise.all(work)
    assert.deepEqual(entered, [0, 1, 2, 3, 4])
    assert.equal(semaphore.held, 0)
  })

  it('gives the place back when the task fails', async () => {
    const semaphore = new Semaphore(1)
    await assert.rejects(
      semaphore.use(() => Promise.reject(new Error('broken'))),
      /broken/,
    )
    assert.equal(await semaphore.use(() => Promise.resolve('next')), 'next')
  })

  it('lets a waiter that aborts leave the line without using up a turn', async () => {
    const semaphore = new Semaphore(1)
    const gate = Promise.withResolvers<void>()
    const controller = new AbortController()
    const first = semaphore.use(() => gate.promise)
    const leaving = semaphore.use(() => assert.fail('it left'), controller.signal)
    const last = semaphore.use(() => Promise.resolve('last'))
    controller.abort(new Error('gone'))
    await assert.rejects(leaving, /gone/)
    assert.equal(semaphore.waiting, 1)
    gate.resolve()
    assert.equal(await last, 'last')
    await first
    assert.equal(semaphore.held, 0)
  })

  it('refuses a signal that aborted before, and keeps no listener on one that did not', async () => {
    const semaphore = new Semaphore(1)
    await assert.rejects(
      semaphore.use(() => Promise.resolve(1), AbortSignal.abort(new Error('early'))),
      /early/,
    )
    const { signal } = new AbortController()
    const gate = Promise.withResolvers<void>()
    const first = semaphore.use(() => gate.promise, signal)
    const second = semaphore.use(() => Promise.resolve(2), signal)
    gate.resolve()
    await Promise.all([first, second])
    assert.equal(getEventListeners(signal, 'abort').length, 0)
  })

  it('needs room for one', () => {
    assert.throws(() => new Semaphore(0), RangeError)
    assert.throws(() => new Semaphore(Number.NaN), RangeError)
  })
})
