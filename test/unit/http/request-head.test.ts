import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { readHead } from '../../../src/http/request-head.ts'
import { INFER_HEADERS } from '../../../src/protocol/headers.ts'

describe('readHead', () => {
  it('finds its headers in any case and takes the first request id', () => {
    const head = readHead([
      'X-Request-ID',
      'a',
      'CONTENT-LENGTH',
      '12',
      'Content-Encoding',
      'gzip',
      'x-request-id',
      'b',
    ])
    assert.deepEqual(head, {
      requestId: 'a',
      contentLength: '12',
      contentEncoding: 'gzip',
      transferEncoding: undefined,
      acceptEncoding: undefined,
      host: undefined,
      traceparent: undefined,
      tracestate: undefined,
      inferKey: '',
    })
  })

  it('joins repeated encodings, so that two of them are no known one', () => {
    assert.equal(readHead(['content-encoding', 'gzip', 'content-encoding', 'gzip']).contentEncoding, 'gzip, gzip')
  })

  it('joins repeated trace headers, so that two parents are none', () => {
    const { traceparent, tracestate } = readHead([
      'TraceParent',
      'x',
      'traceparent',
      'y',
      'TRACESTATE',
      'a=1',
      'tracestate',
      'b=2',
    ])
    assert.deepEqual([traceparent, tracestate], ['x, y', 'a=1, b=2'])
  })

  it('passes over headers that only look similar', () => {
    const head = readHead(['x-requesT-xx', 'a', 'content-lengtX', '1', 'content-languageX', 'x', 'accept', '*/*'])
    assert.deepEqual(head, {
      requestId: undefined,
      contentLength: undefined,
      contentEncoding: undefined,
      transferEncoding: undefined,
      acceptEncoding: undefined,
      host: undefined,
      traceparent: undefined,
      tracestate: undefined,
      inferKey: '',
    })
  })

  it('gives every inference header a part in the key: name, value and order', () => {
    const keys = new Set<string>()
    for (const name of INFER_HEADERS) {
      for (const value of ['1', '2']) keys.add(readHead(['host', 'x', name, value]).inferKey)
    }
    keys.add(readHead(INFER_HEADERS.flatMap((name) => [name, '1'])).inferKey)
    keys.add(readHead(INFER_HEADERS.toReversed().flatMap((name) => [name, '1'])).inferKey)
    assert.equal(keys.size, INFER_HEADERS.length * 2 + 2)
    assert.equal(keys.has(''), false)
  })
})
