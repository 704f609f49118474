import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { answerProblem, readAnswer } from '../../../../loadtest/generator/infer-answer.ts'
import { inferBody, inferRequest } from '../../../../loadtest/generator/infer-request.ts'
import type { NamedTensor } from '../../../../loadtest/models/index.ts'

const SCORES: NamedTensor = { name: 'scores', datatype: 'FP32', shape: [1, 3], data: Float32Array.of(1, -2, 3) }
const TARGET = { host: '127.0.0.1', port: 8080 }

function jsonAnswer(data: unknown, shape = [1, 3]): Buffer {
  return Buffer.from(JSON.stringify({ outputs: [{ name: 'scores', datatype: 'FP32', shape, data }] }))
}

function problemWith(body: Buffer, head = ''): string | undefined {
  return answerProblem(readAnswer(head, body), [SCORES], 1e-3)
}

describe('answer check', () => {
  it('takes flat and nested JSON data', () => {
    assert.equal(problemWith(jsonAnswer([1, -2, 3])), undefined)
    assert.equal(problemWith(jsonAnswer([[1, -2, 3]])), undefined)
  })

  it('takes binary data behind its JSON', () => {
    const outputs = [{ name: 'scores', datatype: 'FP32', shape: [1, 3], parameters: { binary_data_size: 12 } }]
    const json = Buffer.from(JSON.stringify({ outputs }))
    const body = Buffer.concat([json, Buffer.from(Float32Array.of(1, -2, 3).buffer)])
    const head = `HTTP/1.1 200 OK\r\nInference-Header-Content-Length: ${json.length}`
    assert.equal(problemWith(body, head), undefined)
  })

  it('names what is wrong', () => {
    assert.match(problemWith(jsonAnswer([1, -2, 3.1])) ?? '', /scores is off by/)
    assert.match(problemWith(jsonAnswer([1, -2, Number.NaN])) ?? '', /off by Infinity/)
    assert.match(problemWith(jsonAnswer([1, -2, 3], [3])) ?? '', /shape \[3\], expected \[1,3\]/)
    assert.match(problemWith(Buffer.from('{"outputs":[]}')) ?? '', /scores is missing/)
    assert.throws(() => problemWith(Buffer.from('{"error":"no"}')), /no outputs/)
  })
})

describe('inference request', () => {
  const inputs: NamedTensor[] = [
    { name: 'ids', datatype: 'INT64', shape: [1, 2], data: BigInt64Array.of(7n, 2n ** 60n) },
    { name: 'x', datatype: 'FP32', shape: [1], data: Float32Array.of(0.5) },
  ]

  it('writes 64-bit integers without loss', () => {
    const { bytes, jsonBytes } = inferBody(inputs, 'json')
    assert.match(bytes.toString(), /"data":\[7,1152921504606846976\]/)
    assert.equal(jsonBytes, undefined)
  })

  it('puts binary tensors behind the JSON in order and says where it ends', () => {
    const body = inferBody(inputs, 'binary')
    const json = JSON.parse(body.bytes.toString('utf8', 0, body.jsonBytes)) as { inputs: { parameters: unknown }[] }
    assert.deepEqual(
      json.inputs.map(({ parameters }) => parameters),
      [{ binary_data_size: 16 }, { binary_data_size: 4 }],
    )
    const raw = body.bytes.subarray(body.jsonBytes)
    assert.deepEqual([raw.readBigInt64LE(8), raw.readFloatLE(16), raw.length], [2n ** 60n, 0.5, 20])
    const request = Buffer.concat(inferRequest(TARGET, 'acme/churn', body)).toString('latin1')
    assert.match(request, /^POST \/v2\/models\/acme\/churn\/infer HTTP\/1\.1\r\n/)
    assert.ok(request.includes(`\r\nInference-Header-Content-Length: ${body.jsonBytes}\r\n`))
    assert.ok(request.includes(`\r\nContent-Length: ${body.bytes.length}\r\n`))
  })
})
