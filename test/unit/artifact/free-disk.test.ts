import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import { requireFreeDisk } from '../../../src/artifact/free-disk.ts'
import { GatewayError } from '../../../src/domain/errors.ts'

test('a compile that leaves enough of the disk free may begin', async () => {
  await requireFreeDisk(tmpdir(), 1000, 0)
})

test('a compile that would take what is to stay free is refused with the arithmetic, for now', async () => {
  await assert.rejects(
    requireFreeDisk(tmpdir(), 1000, 2 ** 60),
    (error) =>
      error instanceof GatewayError &&
      error.code === 'CAPACITY_EXHAUSTED' &&
      /takes up to 1\.1 KiB/.test(error.message) &&
      (error.facts.retryAfterMs ?? 0) > 0,
  )
})
