import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { waitFor } from '../../../src/lib/wait-for.ts'

describe('waitFor', () => {
  it('gives what the flight gives', async () => {
    const { signal } = new AbortController()
    assert.equal(await waitFor(Promise.resolve(1), undefined), 1)
    assert.equal(await waitFor(Promise.resolve(2), signal), 2)
    await assert.rejects(waitFor(Promise.reject(new Error('lost')), signal), /lost/)
  })

  it('ends the wait with the reason of an abort, before or during it, and leaves no failure of the flight to nobody', async () => {
    const { promise: flight, reject } = Promise.withResolvers<never>()
    const during = new AbortController()
    const waits = [waitFor(flight, AbortSignal.abort(new Error('before'))), waitFor(flight, during.signal)]
    during.abort(new Error('meanwhile'))
    const reasons = (await Promise.allSettled(waits)).map((wait) => wait.status === 'rejected' && String(wait.reason))
    assert.deepEqual(reasons, ['Error: before', 'Error: meanwhile'])
    // Unheard, it would fail this test.
    reject(new Error('too late for anybody'))
    const alone = waitFor(Promise.reject(new Error('nobody asks')), AbortSignal.abort(new Error('gone')))
    await assert.rejects(alone, /gone/)
  })
})
