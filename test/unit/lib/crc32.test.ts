import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Crc32 } from '../../../src/lib/crc32.ts'

describe('CRC-32', () => {
  it('is what its catalogue says of nine digits, in pieces too', () => {
    for (const pieces of [['123456789'], ['1234', '', '56789']]) {
      const crc = new Crc32()
      for (const piece of pieces) crc.update(Buffer.from(piece))
      assert.equal(Buffer.from(crc.digest(), 'base64').toString('hex'), 'cbf43926')
    }
  })
})
