import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { asGatewayError, ERRORS, type ErrorCode, GatewayError } from '../../../src/domain/errors.ts'

const ROWS = Object.entries(ERRORS)

describe('the error table', () => {
  it('gives callers of the protocol the statuses they know', () => {
    const expected: Partial<Record<ErrorCode, number>> = {
      BAD_MODEL_REF: 400,
      TENSOR_MISMATCH: 400,
      MODEL_NOT_FOUND: 404,
      VERSION_NOT_FOUND: 404,
      ALIAS_NOT_FOUND: 404,
      BODY_TOO_LARGE: 413,
      MODEL_NOT_HERE: 421,
      ARTIFACT_INVALID: 422,
      ARTIFACT_UNREACHABLE: 424,
      INTERNAL: 500,
      OVERLOADED: 503,
      MODEL_LOADING: 503,
      DEADLINE_EXCEEDED: 504,
      MODEL_TOO_LARGE: 507,
    }
    for (const [code, status] of Object.entries(expected)) assert.equal(ERRORS[code as ErrorCode].status, status, code)
  })

  it('never blames a replica for what a client or a model did', () => {
    for (const [code, row] of ROWS) {
      // A lost GPU is the replica's own trouble too, and passes: not a 500.
      if (row.countsAgainst === 'replica')
        assert.ok(row.status === 500 || row.status === 502 || code === 'DEVICE_UNAVAILABLE', code)
      if (row.source === 'client') assert.ok(row.countsAgainst === 'nobody' || row.countsAgainst === 'tenant', code)
    }
  })

  it('holds failures against a model, a tenant or the replica exactly where they are theirs', () => {
    const against = (whom: string) => ROWS.filter(([, row]) => row.countsAgainst === whom).map(([code]) => code)
    assert.deepEqual(against('model'), [
      'ARTIFACT_INVALID',
      'ARTIFACT_CORRUPT',
      'MODEL_QUARANTINED',
      'ARTIFACT_UNREACHABLE',
      'INFERENCE_FAILED',
      'WORKER_CRASHED',
      'MODEL_LOAD_FAILED',
      'MODEL_TOO_LARGE',
    ])
    assert.deepEqual(against('tenant'), ['QUOTA_EXCEEDED'])
    assert.deepEqual(against('replica'), ['INTERNAL', 'REPLICA_UNREACHABLE', 'DEVICE_UNAVAILABLE'])
  })

  it('asks to come back later only where time can help', () => {
    for (const [code, row] of ROWS) {
      if (row.status === 503 || row.status === 429) assert.notEqual(row.retry, 'no', code)
      if (row.status === 400 || row.status === 404 || row.status === 422) assert.equal(row.retry, 'no', code)
    }
  })

  it('says of each code what it means', () => {
    for (const [code, row] of ROWS) {
      assert.match(code, /^[A-Z]+(_[A-Z]+)*$/)
      assert.ok(row.meaning.length > 10, code)
      assert.ok(row.status >= 400 && row.status <= 599, code)
    }
    assert.equal(new Set(ROWS.map(([, row]) => row.meaning)).size, ROWS.length)
  })
})

describe('GatewayError', () => {
  it('carries code, status, facts and the cause', () => {
    const cause = new Error('raw text of a library')
    const error = new GatewayError('OVERLOADED', 'too much', { retryAfterMs: 50 }, { cause })
    assert.equal(error.status, 503)
    assert.equal(error.cause, cause)
    assert.deepEqual(error.facts, { retryAfterMs: 50 })
  })

  it('passes through unchanged, while any other thrown value becomes INTERNAL without showing its text', () => {
    const known = new GatewayError('MODEL_NOT_FOUND', 'no such model')
    assert.equal(asGatewayError(known), known)
    for (const thrown of [new TypeError('password=hunter2'), 'a string', undefined]) {
      const error = asGatewayError(thrown)
      assert.equal(error.code, 'INTERNAL')
      assert.equal(error.cause, thrown)
      assert.doesNotMatch(error.message, /hunter2/)
    }
  })
})
