import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SingleFlight } from '../../../src/lib/single-flight.ts'

describe('SingleFlight', () => {
  it('makes one call for all who ask while it is under way, and another for who asks afterwards', async () => {
    const flights = new SingleFlight<string, number>()
    const gate = Promise.withResolvers<void>()
    let calls = 0
    const call = async () => {
      const result = ++calls
      await gate.promise
      return result
    }
    const waiting = [flights.run('a', call), flights.run('a', call), flights.run('a', call)]
    assert.equal(flights.size, 1)
    gate.resolve()
    assert.deepEqual(await Promise.all(waiting), [1, 1, 1])
    assert.ok(!flights.has('a'))
    assert.equal(await flights.run('a', call), 2)
  })

  it('keeps keys apart', async () => {
    const flights = new SingleFlight<string, string>()
    const answers = await Promise.all(['a', 'b'].map((key) => flights.run(key, () => Promise.resolve(key))))
    assert.deepEqual(answers, ['a', 'b'])
  })

  it('shares a failure with all who wait and remembers it for nobody', async () => {
    const flights = new SingleFlight<string, number>()
    const fail = () => Promise.reject(new Error('no luck'))
    const waiting = [flights.run('a', fail), flights.run('a', fail)]
    for (const outcome of await Promise.allSettled(waiting)) assert.equal(outcome.status, 'rejected')
    assert.equal(flights.size, 0)
    assert.equal(await flights.run('a', () => Promise.resolve(5)), 5)
  })
})
