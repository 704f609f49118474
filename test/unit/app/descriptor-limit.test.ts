import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { connectionsWithin, readDescriptorLimit } from '../../../src/app/descriptor-limit.ts'

describe('connectionsWithin', () => {
  it('leaves a quarter of the files, and never fewer than a server needs at rest, to what is no connection', () => {
    assert.equal(connectionsWithin(20_000, 10_000), 10_000)
    assert.equal(connectionsWithin(4096, 10_000), 3072)
    assert.equal(connectionsWithin(256, 10_000), 128)
  })

  it('allows one at least, and as many as wanted where there is no limit', () => {
    assert.equal(connectionsWithin(64, 10_000), 1)
    assert.equal(connectionsWithin(undefined, 10_000), 10_000)
  })

  it('is given the limit of this process', async () => {
    const limit = await readDescriptorLimit()
    assert.ok(limit === undefined || limit > 0)
  })
})
