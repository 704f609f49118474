import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TokenBucket } from '../../../src/lib/token-bucket.ts'

describe('TokenBucket', () => {
  it('lets a burst pass, then its rate', () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 3 }, 0)
    assert.deepEqual(
      [0, 0, 0, 0, 50, 100, 100, 200].map((now) => bucket.take(now)),
      [true, true, true, false, false, true, false, true],
    )
  })

  it('tells how long the next token takes', () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 1 }, 0)
    assert.equal(bucket.waitMs(0), 0)
    bucket.take(0)
    assert.equal(bucket.waitMs(0), 100)
    assert.equal(bucket.waitMs(60), 40)
    assert.equal(bucket.waitMs(500), 0)
  })

  it('saves up no more than its burst', () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 2 }, 0)
    assert.deepEqual(
      [60_000, 60_000, 60_000].map((now) => bucket.take(now)),
      [true, true, false],
    )
  })
})
