import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Crc64Nvme } from '../../../src/lib/crc64.ts'

const WHOLE = Buffer.from('ae8b14860a799888', 'hex').toString('base64')

it('gives the check value of CRC-64/NVME, however the bytes are cut', () => {
  const bytes = Buffer.from('123456789')
  for (let cut = 0; cut <= bytes.length; cut++) {
    const crc = new Crc64Nvme()
    crc.update(bytes.subarray(0, cut))
    crc.update(bytes.subarray(cut))
    assert.equal(crc.digest(), WHOLE)
  }
})

it('takes eight bytes a step as it takes one', () => {
  const bytes = Buffer.from(Array.from({ length: 1000 }, (_, at) => (at * 7919) & 255))
  const steps = new Crc64Nvme()
  steps.update(bytes)
  const single = new Crc64Nvme()
  for (const byte of bytes) single.update(Uint8Array.of(byte))
  assert.equal(steps.digest(), single.digest())
})
