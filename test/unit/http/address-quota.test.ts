import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AddressQuota } from '../../../src/http/address-quota.ts'
import { ManualClock } from '../../support/manual-clock.ts'

describe('AddressQuota', () => {
  it('counts every address for itself', () => {
    const quota = new AddressQuota(new ManualClock(), { perSecond: 1, of: 'it' })
    for (let i = 0; i < 2; i++) quota.spend('10.0.0.1')
    assert.throws(() => quota.spend('10.0.0.1'), { code: 'QUOTA_EXCEEDED' })
    quota.spend('10.0.0.2')
  })

  it('says when to come back, and means it', () => {
    const clock = new ManualClock()
    const quota = new AddressQuota(clock, { perSecond: 0.5, of: 'it' })
    quota.spend('a')
    let retryAfterMs = 0
    try {
      quota.spend('a')
      assert.fail('it was allowed')
    } catch (error) {
      assert.ok(error instanceof Error && 'facts' in error)
      ;({ retryAfterMs } = error.facts as { retryAfterMs: number })
    }
    assert.equal(retryAfterMs, 2000)
    clock.tick(retryAfterMs)
    quota.spend('a')
  })
})
