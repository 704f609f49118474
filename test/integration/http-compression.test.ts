import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { gunzipSync, inflateSync } from 'node:zlib'
import { startHttp } from '../support/http-harness.ts'

const INFER = '/v2/models/acme/churn/infer'
const JSON_PART = Buffer.from(`{"outputs":[${'1,'.repeat(1000)}1]}`)
const UNPACK = { gzip: gunzipSync, deflate: inflateSync } as const

describe('answers for clients that accept them compressed', () => {
  for (const coding of ['gzip', 'deflate'] as const) {
    it(`come as ${coding}, with the length of the JSON as it is unpacked`, async () => {
      const http = await startHttp()
      const body = Buffer.concat([JSON_PART, Buffer.alloc(8000, 7)])
      http.gateway.reply = { body, jsonBytes: JSON_PART.length }
      const answer = await http.post(INFER, '{}', 'accept-encoding', coding)
      assert.equal(answer.status, 200)
      assert.deepEqual([answer.headers['content-encoding'], answer.headers.vary], [coding, 'accept-encoding'])
      assert.equal(answer.headers['inference-header-content-length'], String(JSON_PART.length))
      assert.equal(answer.headers['content-length'], String(answer.body.length))
      assert.ok(answer.body.length < body.length / 10)
      assert.deepEqual(UNPACK[coding](answer.body), body)
      await http.finished(1)
      assert.equal(http.summaries[0]?.bytesOut, answer.body.length)
    })
  }

  it('come as they are when the client does not ask, asks for something else, or not at all for a coding', async () => {
    const http = await startHttp()
    http.gateway.reply = { body: JSON_PART }
    for (const headers of [[], ['accept-encoding', 'br'], ['accept-encoding', 'gzip;q=0']]) {
      const answer = await http.post(INFER, '{}', ...headers)
      assert.equal(answer.headers['content-encoding'], undefined)
      // What is kept between must know that another client would get other bytes.
      assert.equal(answer.headers.vary, 'accept-encoding')
      assert.deepEqual(answer.body, JSON_PART)
    }
  })

  it('come as they are when they are small, would not get smaller, or compression is off', async () => {
    const http = await startHttp()
    http.gateway.reply = { body: JSON_PART.subarray(0, 999) }
    const small = await http.post(INFER, '{}', 'accept-encoding', 'gzip')
    assert.deepEqual([small.headers['content-encoding'], small.headers.vary], [undefined, undefined])
    http.gateway.reply = { body: noise(4096) }
    const noisy = await http.post(INFER, '{}', 'accept-encoding', 'gzip')
    assert.deepEqual([noisy.headers['content-encoding'], noisy.body.length], [undefined, 4096])
    const off = await startHttp({ compressMinBytes: 0 })
    off.gateway.reply = { body: JSON_PART }
    assert.equal((await off.post(INFER, '{}', 'accept-encoding', 'gzip')).headers['content-encoding'], undefined)
  })

  it('never wait for a turn: of many at once some are compressed, all are whole', async () => {
    const http = await startHttp()
    http.gateway.reply = { body: JSON_PART }
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => http.post(INFER, '{}', 'accept-encoding', 'gzip')),
    )
    assert.ok(answers.some(({ headers }) => headers['content-encoding'] === 'gzip'))
    for (const { body, headers } of answers)
      assert.deepEqual(headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body, JSON_PART)
  })

  it('errors come as they are, whatever the client accepts', async () => {
    const http = await startHttp()
    http.gateway.error = new Error('x'.repeat(5000))
    const answer = await http.post(INFER, '{}', 'accept-encoding', 'gzip')
    assert.deepEqual([answer.status, answer.headers['content-encoding']], [500, undefined])
  })
})

/** What no coding makes smaller, the same each time. */
function noise(bytes: number): Buffer {
  let state = 1
  return Buffer.from(
    Array.from({ length: bytes }, () => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
      return state >>> 24
    }),
  )
}
