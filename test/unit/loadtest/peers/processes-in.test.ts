import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isWithin } from '../../../../loadtest/peers/processes-in.ts'

describe('working directory of a process', () => {
  it('is within the folder itself, and below it', () => {
    assert.equal(isWithin('/tmp/ray-1', '/tmp/ray-1'), true)
    assert.equal(isWithin('/tmp/ray-1', '/tmp/ray-1/session/logs'), true)
  })

  it('is not within a folder whose name only starts alike, nor where it is not known', () => {
    assert.equal(isWithin('/tmp/ray-1', '/tmp/ray-12'), false)
    assert.equal(isWithin('/tmp/ray-1', '/tmp'), false)
    assert.equal(isWithin('/tmp/ray-1', ''), false)
  })

  it('is still recognised when the folder was removed', () => {
    assert.equal(isWithin('/tmp/ray-1', '/tmp/ray-1 (deleted)'), true)
    assert.equal(isWithin('/tmp/ray-1', '/tmp/ray-2 (deleted)'), false)
  })
})
