import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSystemError, wrapDiskTrouble } from '../../../src/artifact/refusal.ts'
import { GatewayError } from '../../../src/domain/errors.ts'

const systemError = (code: string) => Object.assign(new Error(`${code}: write`), { code, syscall: 'write', errno: -1 })

test('a full disk is an exhausted capacity that passes; other errors stay what they are', () => {
  for (const code of ['ENOSPC', 'EDQUOT']) {
    const wrapped = wrapDiskTrouble(systemError(code))
    assert.ok(
      wrapped instanceof GatewayError && wrapped.code === 'CAPACITY_EXHAUSTED' && (wrapped.facts.retryAfterMs ?? 0) > 0,
    )
  }
  for (const error of [systemError('EACCES'), new Error('plain'), new GatewayError('INTERNAL', 'ours')]) {
    assert.equal(wrapDiskTrouble(error), error)
  }
})

test('what the operating system says is told from what the engine says', () => {
  assert.ok(isSystemError(systemError('EIO')))
  assert.ok(!isSystemError(new GatewayError('ARTIFACT_INVALID', 'no model')))
})
