import assert from 'node:assert/strict'
import type { LookupAddress } from 'node:dns'
import { describe, it } from 'node:test'
import { keepAddresses } from '../../../src/clients/kept-addresses.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const ADDRESSES: LookupAddress[] = [
  { address: '192.0.2.1', family: 4 },
  { address: '2001:db8::1', family: 6 },
]

describe('addresses of hosts', () => {
  const clock = new ManualClock()
  const failure = Object.assign(new Error('the name server is down'), { code: 'EAI_AGAIN' })
  let found: LookupAddress[] | undefined
  const find = keepAddresses(clock, (_, __, done) => (found === undefined ? done(failure, []) : done(null, found)))

  function ask(host: string, all: boolean): Promise<unknown> {
    return new Promise((resolve, reject) => {
      find(host, { all }, (error, address, family) =>
        error === null ? resolve(all ? address : { address, family }) : reject(error),
      )
    })
  }

  it('are used again for a minute when nobody can be asked, and then no more', async () => {
    found = ADDRESSES
    assert.deepEqual(await ask('store', true), ADDRESSES)
    assert.deepEqual(await ask('store', false), ADDRESSES[0])
    found = undefined
    await clock.advance(59_000)
    assert.deepEqual(await ask('store', true), ADDRESSES)
    await assert.rejects(ask('other', true), failure)
    await clock.advance(2000)
    await assert.rejects(ask('store', true), failure)
  })

  it('are those that were found last', async () => {
    found = ADDRESSES
    await ask('store', true)
    found = ADDRESSES.slice(1)
    assert.deepEqual(await ask('store', false), ADDRESSES[1])
    found = []
    await assert.rejects(ask('store', false), /store has no address/)
  })
})
