import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { InferTerms } from '../../../src/http/infer-terms.ts'
import { readHead } from '../../../src/http/request-head.ts'

const PATH = '/v2/models/acme/churn/infer'

function read(terms: InferTerms, path: string, ...headers: string[]) {
  return terms.read(path, readHead(headers).inferKey, headers)
}

describe('InferTerms', () => {
  it('gives the same object for the same text and another one for any other', () => {
    const terms = new InferTerms({ maxDeadlineMs: 1000, defaultModel: null })
    const first = read(terms, PATH, 'x-modelmux-timeout-ms', '10')
    assert.equal(read(terms, PATH, 'accept', 'x', 'x-modelmux-timeout-ms', '10'), first)
    assert.deepEqual(first, { ref: { name: 'acme/churn' }, ifAbsent: 'load', timeoutMs: 10 })
    assert.equal(read(terms, PATH, 'x-modelmux-timeout-ms', '11').timeoutMs, 11)
    assert.equal(read(terms, PATH).timeoutMs, undefined)
  })

  it('remembers nothing for texts that are longer than any honest one', () => {
    const terms = new InferTerms({ maxDeadlineMs: 1000, defaultModel: null })
    const junk = ['x'.repeat('x-modelmux-timeout-ms'.length), 'y'.repeat(2000)]
    assert.notEqual(read(terms, PATH, ...junk), read(terms, PATH, ...junk))
    assert.deepEqual(read(terms, PATH, ...junk).ref, { name: 'acme/churn' })
  })

  it('caps deadlines', () => {
    const terms = new InferTerms({ maxDeadlineMs: 1000, defaultModel: null })
    assert.equal(read(terms, PATH, 'x-modelmux-timeout-ms', '100000').timeoutMs, 1000)
  })

  it('fills in the default model, and never remembers a refusal', () => {
    const strict = new InferTerms({ maxDeadlineMs: 1000, defaultModel: null })
    for (let i = 0; i < 2; i++) assert.throws(() => read(strict, '/v2/infer'), { code: 'MODEL_REQUIRED' })
    const lenient = new InferTerms({ maxDeadlineMs: 1000, defaultModel: 'base@stable' })
    assert.deepEqual(read(lenient, '/v2/infer').ref, { name: 'base', alias: 'stable' })
    assert.deepEqual(read(lenient, PATH).ref, { name: 'acme/churn' })
  })

  it('refuses a default model that is none', () => {
    assert.throws(() => new InferTerms({ maxDeadlineMs: 1, defaultModel: 'a//b' }), { code: 'BAD_MODEL_REF' })
  })
})
