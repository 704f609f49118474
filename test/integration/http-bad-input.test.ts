import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Send } from '../support/http-harness.ts'
import { readToEnd, startHttp } from '../support/http-harness.ts'

const INFER = '/v2/models/acme/churn/infer'
const MODEL = 'serve_multiplexed_model_id'

interface Case {
  readonly name: string
  readonly send: Send
  readonly status: number
  readonly code: string
  readonly message: RegExp
}

function bad(name: string, path: string, headers: string[], code: string, message: RegExp, status = 400): Case {
  return { name, send: { method: 'POST', path, headers, body: '{}' }, status, code, message }
}

const CASES: readonly Case[] = [
  bad('no model id', '/v2/infer', [], 'MODEL_REQUIRED', /no model is named/),
  bad('a path and a header that differ', INFER, [MODEL, 'acme/other'], 'BAD_MODEL_REF', /acme\/churn.*acme\/other/),
  bad(
    'a version in the path and an alias in the header',
    '/v2/models/m/versions/3/infer',
    [MODEL, 'm@best'],
    'BAD_MODEL_REF',
    /m:3.*m@best/,
  ),
  bad('a repeated model header', '/v2/infer', [MODEL, 'a', MODEL, 'b'], 'BAD_MODEL_REF', /more than once/),
  bad(
    'the two spellings together',
    '/v2/infer',
    [MODEL, 'a', 'serve-multiplexed-model-id', 'b'],
    'BAD_MODEL_REF',
    /more than once/,
  ),
  bad('dots for a segment', '/v2/models/a/../infer', [], 'BAD_MODEL_REF', /'\.\.' is not a segment/),
  bad('encoded dots for a segment', '/v2/models/a/%2e%2e/infer', [], 'BAD_MODEL_REF', /'\.\.' is not a segment/),
  bad('an encoded control byte', '/v2/models/a%00b/infer', [], 'BAD_MODEL_REF', /does not print/),
  bad('an encoded newline in the header', '/v2/infer', [MODEL, 'a%0Ab'], 'BAD_MODEL_REF', /does not print/),
  bad('an empty segment', '/v2/models/a//b/infer', [], 'BAD_MODEL_REF', /empty segment/),
  bad('an empty name', '/v2/models//infer', [], 'BAD_MODEL_REF', /empty/),
  bad('broken percent-encoding', '/v2/models/a%zz/infer', [], 'BAD_MODEL_REF', /percent-encoding/),
  bad('a name that is decoded only once', '/v2/models/a%252Fb/infer', [], 'BAD_MODEL_REF', /holds one of/),
  bad('a version that is no number', '/v2/models/a/versions/x/infer', [], 'BAD_MODEL_REF', /'x' is not a number/),
  bad('a negative JSON length', INFER, ['Inference-Header-Content-Length', '-1'], 'BAD_REQUEST', /'-1'/),
  bad(
    'a JSON length past the end',
    INFER,
    ['Inference-Header-Content-Length', '3'],
    'BAD_REQUEST',
    /is 3, but the body has 2 bytes/,
  ),
  bad('a JSON length that is no number', INFER, ['Inference-Header-Content-Length', 'NaN'], 'BAD_REQUEST', /'NaN'/),
  bad(
    'a repeated JSON length',
    INFER,
    ['Inference-Header-Content-Length', '1', 'inference-header-content-length', '2'],
    'BAD_REQUEST',
    /more than once/,
  ),
  bad('a deadline that is no number', INFER, ['x-modelmux-timeout-ms', 'soon'], 'BAD_REQUEST', /'soon'/),
  bad('an unknown wish for absent models', INFER, ['x-modelmux-if-absent', 'maybe'], 'BAD_REQUEST', /'maybe'/),
  bad('an unknown content encoding', INFER, ['content-encoding', 'br'], 'UNSUPPORTED_ENCODING', /'br'/, 415),
  bad('a body that is not gzip though it says so', INFER, ['content-encoding', 'gzip'], 'BAD_REQUEST', /not gzip/),
  bad('an inference URL without a model', '/v2/models/infer', [], 'NOT_FOUND', /nothing at/, 404),
  bad('another letter case', '/V2/models/a/infer', [], 'NOT_FOUND', /nothing at/, 404),
  bad('a trailing slash', '/v2/models/a/infer/', [], 'METHOD_NOT_ALLOWED', /GET/, 405),
]

describe('bad input over HTTP', () => {
  for (const { name, send, status, code, message } of CASES) {
    it(`refuses ${name} with ${status} and the protocol's error body`, async () => {
      const http = await startHttp()
      const answer = await http.send(send)
      assert.equal(answer.status, status)
      assert.equal(answer.headers['content-type'], 'application/json')
      assert.equal(answer.json.code, code)
      assert.equal(typeof answer.json.error, 'string')
      assert.match(String(answer.json.error), message)
      assert.equal(answer.json.request_id, answer.headers['x-request-id'])
      assert.equal(http.gateway.inferences.length, 0)
      // The connection survives a refused request.
      assert.equal((await http.get('/livez')).status, 200)
    })
  }

  it('names the encodings it knows beside a 415', async () => {
    const http = await startHttp()
    const answer = await http.post(INFER, '{}', 'content-encoding', 'br')
    assert.equal(answer.headers['accept-encoding'], 'gzip, deflate, identity')
  })

  it('refuses JSON over its own limit and says what to do', async () => {
    const http = await startHttp()
    const answer = await http.post(INFER, Buffer.alloc(200_001, ' '))
    assert.equal(answer.status, 413)
    assert.match(String(answer.json.error), /in binary/)
  })

  it('takes binary tensors beyond the limit of JSON', async () => {
    const http = await startHttp()
    const answer = await http.post(INFER, Buffer.alloc(300_000), 'inference-header-content-length', '2')
    assert.equal(answer.status, 200)
  })

  it('refuses a JSON part over the limit of JSON inside a body under its own', async () => {
    const http = await startHttp()
    const answer = await http.post(INFER, Buffer.alloc(300_000), 'inference-header-content-length', '250000')
    assert.equal(answer.status, 413)
  })

  for (const framing of [[], ['transfer-encoding', 'chunked']]) {
    it(`delivers the refusal of a body over the limit to a client that sends all of it first${framing.length > 0 ? ', chunked' : ''}`, async () => {
      const http = await startHttp()
      const answer = await http.post(INFER, Buffer.alloc(6_000_000), 'inference-header-content-length', '2', ...framing)
      assert.equal(answer.status, 413)
      assert.equal(answer.json.code, 'BODY_TOO_LARGE')
      assert.equal(answer.json.limitBytes, 1_000_000)
      assert.equal(answer.headers.connection, 'close')
    })
  }

  it('stops expanding a body where the limit is', async () => {
    const http = await startHttp()
    const bomb = gzipSync(Buffer.alloc(50_000_000))
    const answer = await http.post(INFER, bomb, 'content-encoding', 'gzip', 'inference-header-content-length', '2')
    assert.equal(answer.status, 413)
    assert.match(String(answer.json.error), /decompressed/)
  })

  it('refuses bodies while those being received fill the budget, and takes them again afterwards', async () => {
    const http = await startHttp({ maxReceivingBytes: 100_000 })
    const slow = await http.connect()
    slow.write(`POST ${INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n${' '.repeat(80_000)}`)
    let answer = await http.post(INFER, ' '.repeat(50_000))
    // The other body may not have arrived yet when this one did.
    while (answer.status === 200) answer = await http.post(INFER, ' '.repeat(50_000))
    assert.equal(answer.status, 503)
    assert.equal(answer.json.code, 'OVERLOADED')
    assert.equal(answer.headers['retry-after'], '1')
    const before = http.summaries.length
    slow.destroy()
    await http.finished(before + 1)
    assert.equal((await http.post(INFER, ' '.repeat(50_000))).status, 200)
  })

  it('answers bytes that are not HTTP with 400 and JSON', async () => {
    const http = await startHttp()
    const socket = await http.connect()
    const all = readToEnd(socket)
    socket.write('GARBAGE\r\n\r\n')
    const text = await all
    assert.match(text, /^HTTP\/1\.1 400 Bad Request\r\n/)
    assert.match(text, /\{"error":"the request is not HTTP","code":"BAD_REQUEST"\}$/)
    assert.deepEqual(http.events, ['server.bad-connection'])
  })

  it('reads a target of the absolute form as its path, and refuses one that is no URL', async () => {
    const http = await startHttp()
    for (const [target, status] of [
      ['http://a.example/livez', 200],
      ['http://a%b/livez', 400],
      ['http://a.example', 404],
    ] as const)
      assert.equal((await http.get(target)).status, status, target)
    assert.equal((await http.post(`http://a.example${INFER}`)).status, 200)
    assert.equal((await http.post(`http://a%b${INFER}`)).status, 400)
  })

  it('answers headers over the limit with 431', async () => {
    const http = await startHttp({ maxHeaderBytes: 2048 })
    const socket = await http.connect()
    const all = readToEnd(socket)
    socket.write(`GET /livez HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(4000)}\r\n\r\n`)
    assert.match(await all, /^HTTP\/1\.1 431 /)
  })

  it('answers 408 to a request that does not arrive in time', async () => {
    const http = await startHttp({ headersTimeoutMs: 100, requestTimeoutMs: 100 })
    const socket = await http.connect()
    const all = readToEnd(socket)
    socket.write('GET /livez HTTP/1.1\r\n')
    assert.match(await all, /^HTTP\/1\.1 408 [\s\S]*REQUEST_TIMEOUT/)
  })

  it('makes up a request id in place of one that does not fit a log line', async () => {
    const http = await startHttp()
    for (const id of ['with blank', 'x'.repeat(129), '']) {
      assert.match(String((await http.post(INFER, '{}', 'x-request-id', id)).headers['x-request-id']), /^boot-/)
    }
  })
})
