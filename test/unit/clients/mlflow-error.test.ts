import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { MlflowErrorKind } from '../../../src/clients/mlflow-error.ts'
import { answeredError, asMlflowError } from '../../../src/clients/mlflow-error.ts'

const HTML = '<!doctype html><title>404 secret-host</title>'

describe('an answer of MLflow that is an error', () => {
  it('is judged by its code word, whatever the status', () => {
    const cases: readonly (readonly [number, string, MlflowErrorKind])[] = [
      [404, 'RESOURCE_DOES_NOT_EXIST', 'not-found'],
      [400, 'RESOURCE_DOES_NOT_EXIST', 'not-found'],
      [404, 'ENDPOINT_NOT_FOUND', 'no-endpoint'],
      [501, 'NOT_IMPLEMENTED', 'no-endpoint'],
      [400, 'RESOURCE_ALREADY_EXISTS', 'conflict'],
      [401, 'UNAUTHENTICATED', 'forbidden'],
      [403, 'PERMISSION_DENIED', 'forbidden'],
      [429, 'REQUEST_LIMIT_EXCEEDED', 'slow-down'],
      [400, 'INVALID_PARAMETER_VALUE', 'refused'],
      [500, 'INTERNAL_ERROR', 'unavailable'],
      [503, 'TEMPORARILY_UNAVAILABLE', 'unavailable'],
    ]
    for (const [status, word, kind] of cases) {
      const error = answeredError(status, JSON.stringify({ error_code: word, message: 'secret-host said no' }))
      assert.equal(error.kind, kind, word)
      assert.equal(error.message, `MLflow answered ${status} ${word}`)
    }
  })

  it('is judged by its status where a proxy or a plugin wrote it', () => {
    const cases: readonly (readonly [number, string, MlflowErrorKind])[] = [
      [401, 'You are not authenticated.', 'forbidden'],
      [403, HTML, 'forbidden'],
      [404, HTML, 'no-endpoint'],
      [405, HTML, 'no-endpoint'],
      [408, '', 'unavailable'],
      [413, HTML, 'refused'],
      [429, 'slow down', 'slow-down'],
      [502, HTML, 'unavailable'],
      [504, '{"error_code": 7}', 'unavailable'],
      [404, '{"detail": "Not Found"}', 'no-endpoint'],
      [500, '{"error_code": "no word at all <script>"}', 'unavailable'],
      [500, '{', 'unavailable'],
    ]
    for (const [status, body, kind] of cases) {
      const error = answeredError(status, body)
      assert.equal(error.kind, kind, `${status} ${body}`)
      assert.equal(error.message, `MLflow answered ${status}`)
    }
  })

  it('says of a redirect that nobody follows it', () => {
    const error = answeredError(302, '')
    assert.deepEqual([error.kind, error.message], ['refused', 'MLflow answered 302: redirects are not followed'])
  })

  it('tells when to come back only where coming back helps', () => {
    assert.equal(answeredError(503, '', 2000).retryAfterMs, 2000)
    assert.equal(answeredError(429, '', 2000).retryAfterMs, 2000)
    assert.equal(answeredError(403, '', 2000).retryAfterMs, undefined)
  })
})

describe('a call to MLflow that had no answer', () => {
  it('is unavailable, with the code of what failed and nothing else of it', () => {
    const thrown = Object.assign(new Error('connect ECONNREFUSED 10.1.2.3:5000'), { code: 'ECONNREFUSED' })
    assert.equal(asMlflowError(thrown).message, 'MLflow does not answer: ECONNREFUSED')
    assert.equal(asMlflowError('secret-host').message, 'MLflow does not answer: the connection failed')
  })

  it("ends with the signal's reason when that is why", () => {
    const reason = new Error('the caller left')
    assert.throws(() => asMlflowError(new Error('aborted'), AbortSignal.abort(reason)), reason)
  })
})
