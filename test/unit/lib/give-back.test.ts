import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { giveBack } from '../../../src/lib/give-back.ts'

describe('memory', () => {
  it('is given back with the bytes that own it', () => {
    const bytes = Buffer.allocUnsafeSlow(64)
    giveBack(bytes)
    assert.equal(bytes.length, 0)
    assert.equal(bytes.buffer.detached, true)
  })

  it('is kept while others may have a part of it, or it is shared between threads', () => {
    const whole = Buffer.allocUnsafeSlow(64).fill(7)
    giveBack(whole.subarray(0, 32))
    giveBack(whole.subarray(32))
    assert.deepEqual([whole.length, whole[0]], [64, 7])
    const shared = new Uint8Array(new SharedArrayBuffer(64))
    giveBack(shared)
    assert.equal(shared.length, 64)
  })
})
