import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { inferRequest } from '../../../../loadtest/generator/infer-request.ts'

const TARGET = { host: '127.0.0.1', port: 8080 }
const BODY = { bytes: Buffer.from('{"inputs":[]}') }

describe('inference request', () => {
  it('names the model in the URL alone unless told otherwise', () => {
    const text = Buffer.concat(inferRequest(TARGET, 'acme/churn', BODY)).toString()
    assert.match(text, /^POST \/v2\/models\/acme\/churn\/infer HTTP\/1.1\r\n/)
    assert.doesNotMatch(text, /serve_multiplexed_model_id/)
  })

  it('names it in the header of model multiplexing too, ahead of an unchanged body', () => {
    const text = Buffer.concat(inferRequest(TARGET, 'acme/churn', BODY, { namesInHeader: true })).toString()
    assert.match(text, /\r\nserve_multiplexed_model_id: acme\/churn\r\n(?:.*\r\n)*\r\n\{"inputs":\[\]\}$/)
  })
})
