import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { headerText, serverTiming } from '../../../src/http/answer-headers.ts'

describe('headers of an answer', () => {
  it('names the phases there were, in their order, to the microsecond', () => {
    assert.equal(serverTiming({ run: 1.23456, queue: 0, resolve: 0.0004 }), 'resolve;dur=0, queue;dur=0, run;dur=1.235')
    assert.equal(serverTiming({}), '')
  })

  it('leaves printable ASCII alone and percent-encodes the rest as UTF-8', () => {
    assert.equal(headerText("acme/churn v2 (test)'"), "acme/churn v2 (test)'")
    assert.equal(headerText('größe'), 'gr%C3%B6%C3%9Fe')
    assert.equal(decodeURIComponent(headerText('模型/😀')), '模型/😀')
    assert.equal(headerText('a\r\nb'), 'a%0D%0Ab')
  })
})
