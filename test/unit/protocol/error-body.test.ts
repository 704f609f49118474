import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GatewayError } from '../../../src/domain/errors.ts'
import { errorBody, retryAfterSeconds } from '../../../src/protocol/error-body.ts'

describe('errorBody', () => {
  it('has the message as a top-level string beside code and request id', () => {
    const error = new GatewayError('MODEL_NOT_FOUND', 'no model acme/chrun')
    assert.deepEqual(errorBody(error, { requestId: 'r1' }), {
      error: 'no model acme/chrun',
      code: 'MODEL_NOT_FOUND',
      request_id: 'r1',
    })
  })

  it('names model and version as far as they are known, the error knowing best', () => {
    const error = new GatewayError('MODEL_LOADING', 'm', { version: '8', details: { phase: 'compile', waited_ms: 3 } })
    assert.deepEqual(errorBody(error, { requestId: 'r', model: 'a', version: '7' }), {
      error: 'm',
      code: 'MODEL_LOADING',
      request_id: 'r',
      model: 'a',
      version: '8',
      phase: 'compile',
      waited_ms: 3,
    })
  })

  it('never lets a detail hide a named member', () => {
    const error = new GatewayError('INTERNAL', 'm', { details: { error: 'x', code: 'x', request_id: 'x', more: true } })
    assert.deepEqual(errorBody(error, { requestId: 'r' }), {
      error: 'm',
      code: 'INTERNAL',
      request_id: 'r',
      more: true,
    })
  })
})

describe('retryAfterSeconds', () => {
  const loading = (retryAfterMs?: number) =>
    new GatewayError('MODEL_LOADING', 'm', retryAfterMs === undefined ? {} : { retryAfterMs })

  it('rounds up to whole seconds of at least one', () => {
    assert.equal(
      retryAfterSeconds(loading(1), () => 0),
      1,
    )
    assert.equal(
      retryAfterSeconds(loading(2001), () => 0),
      3,
    )
    assert.equal(
      retryAfterSeconds(loading(), () => 0),
      1,
    )
  })

  it('spreads callers by up to a quarter and caps the wait', () => {
    assert.equal(
      retryAfterSeconds(loading(8000), () => 0.999),
      10,
    )
    assert.equal(
      retryAfterSeconds(loading(600_000), () => 0),
      30,
    )
  })

  it('says nothing where coming back later would not help', () => {
    assert.equal(
      retryAfterSeconds(new GatewayError('MODEL_NOT_FOUND', 'm', { retryAfterMs: 9 }), () => 0),
      undefined,
    )
    assert.equal(
      retryAfterSeconds(new GatewayError('DRAINING', 'm'), () => 0),
      undefined,
    )
    assert.equal(
      retryAfterSeconds(new GatewayError('CAPACITY_EXHAUSTED', 'pinned'), () => 0),
      undefined,
    )
    assert.equal(
      retryAfterSeconds(new GatewayError('CAPACITY_EXHAUSTED', 'busy', { retryAfterMs: 1500 }), () => 0),
      2,
    )
  })
})
