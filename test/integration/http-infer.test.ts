import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { deflateSync, gzipSync } from 'node:zlib'
import { GatewayError } from '../../src/domain/errors.ts'
import { readToEnd, startHttp } from '../support/http-harness.ts'

const INFER = '/v2/models/acme/churn/infer'

describe('inference over HTTP', () => {
  it('hands the body over as it came and names the model that answered', async () => {
    const http = await startHttp()
    const answer = await http.post(INFER, '{"inputs":[]}', 'X-Request-Id', 'abc-1')
    assert.equal(answer.status, 200)
    assert.equal(answer.headers['content-type'], 'application/json')
    assert.equal(answer.headers['x-request-id'], 'abc-1')
    assert.equal(answer.headers['x-modelmux-model'], 'acme/churn')
    assert.equal(answer.headers['x-modelmux-version'], '7')
    assert.equal(answer.headers['x-modelmux-replica'], 'replica-0')
    assert.equal(answer.headers['x-modelmux-cache'], 'hit')
    assert.equal(answer.headers['server-timing'], 'queue;dur=0.5, run;dur=1.235')
    assert.equal(answer.json.model_name, 'acme/churn')
    const [request] = http.gateway.inferences
    assert.deepEqual(request?.ref, { name: 'acme/churn' })
    assert.equal(Buffer.concat([...(request?.body ?? [])]).toString(), '{"inputs":[]}')
    assert.equal(request?.bodyBytes, 13)
    assert.equal(request?.requestId, 'abc-1')
    assert.equal(request?.ifAbsent, 'load')
    assert.equal(request?.jsonBytes, undefined)
  })

  it('reads the model from raw and encoded slashes, a version in the path, and the header in both spellings', async () => {
    const http = await startHttp()
    await http.post('/v2/models/acme%2Fchurn/infer')
    await http.post('/v2/models/acme/churn/versions/3/infer?x=1')
    await http.post('/v2/infer', '{}', 'Serve_Multiplexed_Model_Id', 'acme/churn@champion')
    await http.post('/v2/infer', '{}', 'serve-multiplexed-model-id', 'acme/churn:4')
    await http.post(INFER, '{}', 'serve-multiplexed-model-id', 'acme/churn:4')
    await http.send({ method: 'POST', path: `http://gateway.example${INFER}`, body: '{}' })
    assert.deepEqual(
      http.gateway.inferences.map(({ ref }) => ref),
      [
        { name: 'acme/churn' },
        { name: 'acme/churn', version: '3' },
        { name: 'acme/churn', alias: 'champion' },
        { name: 'acme/churn', version: '4' },
        { name: 'acme/churn', version: '4' },
        { name: 'acme/churn' },
      ],
    )
  })

  it('does not confuse requests whose URL is the same and whose headers differ', async () => {
    const http = await startHttp()
    for (const version of ['1', '2', '1'])
      await http.post(INFER, '{}', 'serve-multiplexed-model-id', `acme/churn:${version}`)
    await http.post(INFER)
    assert.deepEqual(
      http.gateway.inferences.map(({ ref }) => ref.version),
      ['1', '2', '1', undefined],
    )
  })

  it('falls back to the default model only when nothing names one', async () => {
    const http = await startHttp({ defaultModel: 'acme/base:2' })
    await http.post('/v2/infer')
    await http.post('/v2/infer', '{}', 'serve-multiplexed-model-id', 'acme/churn')
    await http.post(INFER)
    assert.deepEqual(
      http.gateway.inferences.map(({ ref }) => ref.name),
      ['acme/base', 'acme/churn', 'acme/churn'],
    )
  })

  it('sends binary answers with the length of their JSON part, also when they are large', async () => {
    const http = await startHttp()
    const body = Buffer.concat([Buffer.from('{}'), Buffer.alloc(100_000, 0xfe)])
    http.gateway.reply = { body, jsonBytes: 2 }
    const answer = await http.post(INFER)
    assert.equal(answer.headers['content-type'], 'application/octet-stream')
    assert.equal(answer.headers['inference-header-content-length'], '2')
    assert.deepEqual(answer.body, body)
  })

  it('sends every byte of a small answer unchanged', async () => {
    const http = await startHttp()
    const body = Buffer.from(Array.from({ length: 512 }, (_, i) => i % 256))
    http.gateway.reply = { body, jsonBytes: 0 }
    assert.deepEqual((await http.post(INFER)).body, body)
  })

  it('percent-encodes model names that a header cannot carry', async () => {
    const http = await startHttp()
    const answer = await http.post(`/v2/models/${encodeURIComponent('acme/größe 模型')}/infer`)
    assert.equal(answer.headers['x-modelmux-model'], 'acme/gr%C3%B6%C3%9Fe %E6%A8%A1%E5%9E%8B')
  })

  it('passes on the deadline, capped, and the order not to load', async () => {
    const http = await startHttp({ maxDeadlineMs: 5000 })
    await http.post(INFER, '{}', 'x-modelmux-timeout-ms', '250', 'x-modelmux-if-absent', 'refuse')
    await http.post(INFER, '{}', 'x-modelmux-timeout-ms', '999999')
    const [first, second] = http.gateway.inferences
    assert.equal(first?.timeoutMs, 250)
    assert.equal(first?.ifAbsent, 'refuse')
    assert.equal(second?.timeoutMs, 5000)
  })

  for (const [name, encode] of [
    ['gzip', gzipSync],
    ['deflate', deflateSync],
  ] as const) {
    it(`expands a body of ${name}, where the JSON length counts expanded bytes`, async () => {
      const http = await startHttp()
      const body = encode(Buffer.from('{"inputs":[]}rest'))
      const answer = await http.post(INFER, body, 'content-encoding', name, 'inference-header-content-length', '13')
      assert.equal(answer.status, 200)
      const [request] = http.gateway.inferences
      assert.equal(Buffer.concat([...(request?.body ?? [])]).toString(), '{"inputs":[]}rest')
      assert.equal(request?.bodyBytes, 17)
      assert.equal(request?.jsonBytes, 13)
    })
  }

  it('reads a chunked body', async () => {
    const http = await startHttp()
    const answer = await http.post(INFER, '{"inputs":[]}', 'transfer-encoding', 'chunked')
    assert.equal(answer.status, 200)
    assert.equal(http.gateway.inferences[0]?.bodyBytes, 13)
  })

  it('answers 100 Continue before it wants the body', async () => {
    const http = await startHttp()
    const socket = await http.connect()
    const all = readToEnd(socket)
    socket.write(
      `POST ${INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n`,
    )
    await new Promise<void>((resolve) => socket.once('data', () => resolve()))
    socket.write('{}')
    assert.match(await all, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/)
  })

  it('refuses a body that is too large without asking for it', async () => {
    const http = await startHttp()
    const socket = await http.connect()
    const all = readToEnd(socket)
    socket.write(`POST ${INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\nExpect: 100-continue\r\n\r\n`)
    await new Promise<void>((resolve) => socket.once('data', () => resolve()))
    socket.end()
    assert.match(await all, /^HTTP\/1\.1 413 /)
  })

  it('tells the rest of the house when the client leaves, and logs it as 499', async () => {
    const http = await startHttp()
    http.gateway.holds = true
    const socket = await http.connect()
    socket.write(`POST ${INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}`)
    await http.gateway.arrived(1)
    const signal = http.gateway.inferences[0]?.signal
    assert.equal(signal?.aborted, false)
    socket.destroy()
    await http.finished(1)
    assert.equal(signal?.aborted, true)
    assert.equal(http.summaries[0]?.status, 499)
    assert.equal(http.summaries[0]?.code, 'CLIENT_GONE')
    http.gateway.held[0]?.answer()
  })

  it('ends the wait for a body whose client leaves in the middle of it', async () => {
    const http = await startHttp()
    const socket = await http.connect()
    socket.write(`POST ${INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{`)
    socket.end()
    await http.finished(1)
    assert.equal(http.gateway.inferences.length, 0)
    assert.equal(http.summaries[0]?.code, 'CLIENT_GONE')
  })

  it('sums a request up once: names, cache, phases, bytes', async () => {
    const http = await startHttp()
    const answer = await http.post(INFER, '{"inputs":[]}')
    await http.finished(1)
    const { durationMs, requestId, ...summary } = http.summaries[0] ?? assert.fail()
    assert.ok(durationMs > 0)
    assert.match(requestId, /^boot-/)
    assert.deepEqual(summary, {
      method: 'POST',
      route: '/v2/models/{model}/infer',
      status: 200,
      model: 'acme/churn',
      version: '7',
      cache: 'hit',
      timings: { queue: 0.5, run: 1.2345 },
      batchRows: 1,
      bytesIn: 13,
      bytesOut: answer.body.length,
    })
  })

  it('answers an error of the gateway with its status, code, names and advice', async () => {
    const http = await startHttp()
    const facts = { model: 'acme/churn', version: '7', retryAfterMs: 2500, details: { queued: 9 } }
    http.gateway.error = new GatewayError('OVERLOADED', 'the queue of acme/churn is full', facts)
    const answer = await http.post(INFER, '{}', 'x-request-id', 'r1')
    assert.equal(answer.status, 503)
    assert.equal(answer.headers['content-type'], 'application/json')
    assert.equal(answer.headers['retry-after'], '3')
    assert.equal(answer.headers['x-modelmux-model'], 'acme/churn')
    assert.deepEqual(answer.json, {
      error: 'the queue of acme/churn is full',
      code: 'OVERLOADED',
      request_id: 'r1',
      model: 'acme/churn',
      version: '7',
      queued: 9,
    })
    await http.finished(1)
    assert.equal(http.summaries[0]?.error, http.gateway.error)
  })

  it('turns an error it does not know into a 500 that says nothing of its inside', async () => {
    const http = await startHttp()
    http.gateway.error = new TypeError('secret of the house')
    const answer = await http.post(INFER)
    assert.equal(answer.status, 500)
    assert.equal(answer.json.code, 'INTERNAL')
    assert.doesNotMatch(answer.text, /secret/)
    await http.finished(1)
    assert.equal(http.summaries[0]?.error?.cause, http.gateway.error)
  })
})
