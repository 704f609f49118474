import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ErrorCode } from '../../../src/domain/errors.ts'
import { GatewayError } from '../../../src/domain/errors.ts'
import { combineRefs, isModelHeader, matchInferPath, readInferHeaders } from '../../../src/protocol/headers.ts'

function refuses(task: () => unknown, code: ErrorCode, message = /./): void {
  assert.throws(task, (error) => {
    assert.ok(error instanceof GatewayError, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  })
}

describe('readInferHeaders', () => {
  it('finds the model under both spellings and in any case', () => {
    for (const name of [
      'serve_multiplexed_model_id',
      'serve-multiplexed-model-id',
      'Serve-Multiplexed-Model-Id',
      'SERVE_MULTIPLEXED_MODEL_ID',
    ]) {
      assert.deepEqual(readInferHeaders(['Host', 'x', name, 'acme/churn:7']).ref, { name: 'acme/churn', version: '7' })
      assert.ok(isModelHeader(name))
    }
    assert.ok(!isModelHeader('serve_multiplexed_model_ie'))
  })

  it('decodes the model exactly once', () => {
    assert.deepEqual(readInferHeaders(['serve_multiplexed_model_id', 'caf%C3%A9/my%20model%40blue']).ref, {
      name: 'café/my model',
      alias: 'blue',
    })
    refuses(() => readInferHeaders(['serve_multiplexed_model_id', 'a%2525']), 'BAD_MODEL_REF')
    refuses(() => readInferHeaders(['serve_multiplexed_model_id', 'a%ff']), 'BAD_MODEL_REF', /percent-encoding/)
    refuses(
      () => readInferHeaders(['serve_multiplexed_model_id', 'caf\u00e9']),
      'BAD_MODEL_REF',
      /percent-encoded UTF-8/,
    )
  })

  it('refuses a model header that is repeated, also in two spellings and with equal values', () => {
    refuses(
      () => readInferHeaders(['serve_multiplexed_model_id', 'a', 'serve_multiplexed_model_id', 'b']),
      'BAD_MODEL_REF',
      /more than once/,
    )
    refuses(
      () => readInferHeaders(['serve_multiplexed_model_id', 'a', 'Serve-Multiplexed-Model-Id', 'a']),
      'BAD_MODEL_REF',
      /more than once/,
    )
  })

  it('refuses values that break the grammar', () => {
    for (const value of [
      '',
      '/',
      'a//b',
      '../a',
      'a/..',
      'a%2F..%2Fb',
      'a%00',
      'a%0Ab',
      'a:x',
      'a@',
      'a b:1:2',
      'a/infer',
    ]) {
      refuses(() => readInferHeaders(['serve-multiplexed-model-id', value]), 'BAD_MODEL_REF')
    }
  })

  it('reads what else concerns inference and ignores the rest', () => {
    const headers = [
      'Content-Type',
      'application/json',
      'X-Modelmux-Timeout-Ms',
      '250.5',
      'x-modelmux-if-absent',
      'refuse',
      'Inference-Header-Content-Length',
      '17',
    ]
    assert.deepEqual(readInferHeaders(headers), { timeoutMs: 250.5, ifAbsent: 'refuse', jsonBytes: 17 })
    assert.deepEqual(readInferHeaders([]), { ifAbsent: 'load' })
    assert.deepEqual(readInferHeaders(['X-Modelmux-Cold-Start', 'refuse']), { ifAbsent: 'load', coldStart: 'refuse' })
    assert.throws(() => readInferHeaders(['x-modelmux-cold-start', 'no']), {
      code: 'BAD_REQUEST',
      message: /wait or refuse/,
    })
    assert.deepEqual(readInferHeaders(['Inference-Header-Content-Length', '0']), { ifAbsent: 'load', jsonBytes: 0 })
  })

  const bad: [string, string[]][] = [
    ['X-Modelmux-Timeout-Ms', ['0', '-1', 'NaN', '1e3', '', 'Infinity', '0x10', '1,2']],
    ['X-Modelmux-If-Absent', ['', 'Load', 'maybe']],
    ['Inference-Header-Content-Length', ['-1', '', '1.5', '0x10', 'ten', '1e3', '9999999999999999999']],
  ]
  for (const [name, values] of bad) {
    it(`refuses a bad ${name}, naming it and the value`, () => {
      for (const value of values)
        refuses(() => readInferHeaders([name, value]), 'BAD_REQUEST', new RegExp(`${name} is '.*'; wanted`, 'i'))
    })
    it(`refuses a repeated ${name}`, () => {
      refuses(() => readInferHeaders([name, '1', name.toLowerCase(), '1']), 'BAD_REQUEST', /more than once/)
    })
  }
})

describe('matchInferPath', () => {
  it('finds names with raw and encoded slashes, with and without version', () => {
    const churn = { name: 'acme/churn' }
    for (const [url, ref] of [
      ['/v2/models/acme/churn/infer', churn],
      ['/v2/models/acme%2Fchurn/infer', churn],
      ['/v2/models/acme%2fchurn/infer?x=1', churn],
      ['/v2/models/acme/churn/versions/7/infer', { ...churn, version: '7' }],
      ['/v2/models/acme%2Fchurn/versions/7/infer', { ...churn, version: '7' }],
      ['/v2/models/acme%2Fchurn%3A7/infer', { ...churn, version: '7' }],
      ['/v2/models/acme/churn@blue/infer', { ...churn, alias: 'blue' }],
      ['/v2/models/acme/versions/x/churn/infer', { name: 'acme/versions/x/churn' }],
      ['/v2/models/m%20x/infer', { name: 'm x' }],
    ] as const) {
      assert.deepEqual(matchInferPath(url), { ref }, url)
    }
  })

  it('knows the URL without a model', () => {
    assert.deepEqual(matchInferPath('/v2/infer'), {})
    assert.deepEqual(matchInferPath('/v2/infer?a=b'), {})
  })

  it('leaves every other URL to others', () => {
    for (const url of [
      '/',
      '/v2',
      '/v2/models/a',
      '/v2/models/infer',
      '/v2/models/a/ready',
      '/v2/models/a/infer/',
      '/V2/models/a/infer',
      '/v2/infer/',
      '/v1/models/a/infer',
      '/v2/models/a/Infer',
    ]) {
      assert.equal(matchInferPath(url), undefined, url)
    }
  })

  it('refuses names that are none', () => {
    for (const name of [
      '',
      '..',
      'a/..',
      'a/../b',
      'a%2F..%2Fb',
      '%2e%2e',
      'a//b',
      '/a',
      'a/',
      'a%00b',
      'a%0a',
      'a%5Cb',
      'a%',
      'a%zz',
      'a%c3',
      'a%252F',
      'a/versions',
      'a/ready',
      'a/versions/x',
      'a/versions/-1',
      'a/versions/',
      'a%3A1/versions/2',
      'a@x/versions/2',
    ]) {
      refuses(() => matchInferPath(`/v2/models/${name}/infer`), 'BAD_MODEL_REF')
    }
  })
})

describe('combineRefs', () => {
  const plain = { name: 'a' }
  const seven = { name: 'a', version: '7' }
  const blue = { name: 'a', alias: 'blue' }

  it('takes either source alone, and lets one of two add the version or alias', () => {
    for (const ref of [plain, seven, blue]) {
      assert.deepEqual(combineRefs(ref, undefined), ref)
      assert.deepEqual(combineRefs(undefined, ref), ref)
      assert.deepEqual(combineRefs(ref, plain), ref)
      assert.deepEqual(combineRefs(plain, ref), ref)
      assert.deepEqual(combineRefs(ref, { ...ref }), ref)
    }
  })

  it('asks for a model when there is none', () => {
    refuses(() => combineRefs(undefined, undefined), 'MODEL_REQUIRED', /serve-multiplexed-model-id/)
  })

  it('refuses two that disagree', () => {
    for (const [a, b] of [
      [plain, { name: 'b' }],
      [seven, { name: 'b', version: '7' }],
      [seven, { name: 'a', version: '8' }],
      [seven, blue],
      [blue, { name: 'a', alias: 'green' }],
    ] as const) {
      refuses(() => combineRefs(a, b), 'BAD_MODEL_REF', /path and header disagree/)
      refuses(() => combineRefs(b, a), 'BAD_MODEL_REF', /path and header disagree/)
    }
  })
})
