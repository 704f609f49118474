import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TokenBucket } from '../../../src/lib/token-bucket.ts'

describe('TokenBucket', () => {
  it('gives a burst, then the rate', () => {
    const bucket = new TokenBucket({ perSecond: 2, burst: 3 }, 0)
    assert.deepEqual(
      [0, 0, 0, 0].map((at) => bucket.take(at)),
      [true, true, true, false],
    )
    assert.equal(bucket.take(499), false)
    assert.equal(bucket.take(500), true)
    assert.equal(bucket.take(500), false)
  })

  it('never saves up more than the burst', () => {
    const bucket = new TokenBucket({ perSecond: 100, burst: 1 }, 0)
    assert.equal(bucket.take(1_000_000), true)
    assert.equal(bucket.take(1_000_000), false)
  })

  it('tells how long to wait for the next token', () => {
    const bucket = new TokenBucket({ perSecond: 4, burst: 1 }, 0)
    assert.equal(bucket.waitMs(0), 0)
    bucket.take(0)
    assert.equal(bucket.waitMs(0), 250)
    assert.equal(bucket.waitMs(100), 150)
    assert.equal(bucket.waitMs(900), 0)
  })
})
