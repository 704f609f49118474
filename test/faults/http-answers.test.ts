/** What every refusal must be, whatever refused: JSON with a string to read, and a time to come back where coming back helps. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { Rng } from '../../loadtest/models/index.ts'
import { addOne, tableLookup } from '../../loadtest/models/special/index.ts'
import type { ErrorCode } from '../../src/domain/errors.ts'
import { ERRORS, GatewayError } from '../../src/domain/errors.ts'
import { startHttp } from '../support/http-harness.ts'
import { assertRefused, infer } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { ServerProcess } from '../support/server-process.ts'

const CODES = Object.keys(ERRORS) as ErrorCode[]
/** Every kind of URL below /v2 that can fail. */
const ROUTES: readonly (readonly [method: string, path: string])[] = [
  ['POST', '/v2/models/acme/churn/infer'],
  ['POST', '/v2/models/acme/churn/versions/7/infer'],
  ['GET', '/v2/models/acme/churn'],
  ['GET', '/v2/models/acme/churn/ready'],
  ['GET', '/v2/models/acme/churn/stats'],
  ['GET', '/v2/models/stats'],
  ['POST', '/v2/repository/index'],
  ['POST', '/v2/repository/models/acme/churn/load'],
  ['POST', '/v2/repository/models/acme/churn/unload'],
]

describe('a refusal below /v2', () => {
  for (const code of CODES) {
    it(`is JSON with an error to read, and a Retry-After if and only if that helps: ${code}`, async () => {
      const http = await startHttp({}, { random: () => 0.99 })
      http.gateway.error = new GatewayError(code, `the message of ${code}`, {
        model: 'acme/churn',
        version: '7',
        retryAfterMs: 3_600_000,
      })
      for (const [method, path] of ROUTES) {
        const answer = await http.send({ method, path, ...(method === 'POST' ? { body: '{}' } : {}) })
        assert.equal(answer.status, ERRORS[code].status, path)
        assert.equal(answer.headers['content-type'], 'application/json', path)
        assert.equal(answer.json.error, `the message of ${code}`, path)
        assert.equal(answer.json.code, code, path)
        assert.equal(answer.json.request_id, answer.headers['x-request-id'], path)
        assert.equal(answer.headers['x-modelmux-model'], 'acme/churn', path)
        // In whole seconds, and never more than a load is worth asking about.
        assert.equal(answer.headers['retry-after'], ERRORS[code].retry === 'later' ? '30' : undefined, path)
      }
    })
  }

  it('of an unknown URL, a wrong method, or a broken head is JSON as well', async () => {
    const http = await startHttp()
    for (const [method, path, status] of [
      ['GET', '/v2/nothing', 404],
      ['DELETE', '/v2/models/acme/churn', 405],
      ['GET', '/v2/models/acme/churn/infer', 405],
      ['GET', '/v2/infer', 405],
      ['POST', '/v2/models', 405],
      ['GET', '/v2/models/a%zz', 400],
      ['GET', '/v2/models/acme/../x', 400],
    ] as const) {
      const answer = await http.send({ method, path })
      assert.equal(answer.status, status, path)
      assert.equal(answer.headers['content-type'], 'application/json', path)
      assert.equal(typeof answer.json.error, 'string', path)
    }
  })

  it('spreads those who are refused together, and asks nobody to come back in no time', async () => {
    const seconds = new Set<string>()
    const draws = [0, 0.2, 0.4, 0.6, 0.8]
    const http = await startHttp({}, { random: () => draws.shift() ?? 0 })
    http.gateway.error = new GatewayError('MODEL_LOADING', 'still loading', { retryAfterMs: 20_000 })
    for (let i = 0; i < 5; i++) seconds.add(String((await http.post('/v2/models/a/infer')).headers['retry-after']))
    assert.ok(seconds.size > 2, [...seconds].join())
    for (const text of seconds) assert.ok(Number(text) >= 20 && Number(text) <= 25, text)
    http.gateway.error = new GatewayError('OVERLOADED', 'full', { retryAfterMs: 1 })
    assert.ok(Number((await http.post('/v2/models/a/infer')).headers['retry-after']) >= 1)
  })
})

describe('an error of a replica', () => {
  let models: ModelsFolder
  let server: ServerProcess

  before(async () => {
    models = await ModelsFolder.make()
    await models.write('acme/churn', '7', addOne().model)
    await models.write('acme/table', '1', tableLookup(16).model)
    server = await ServerProcess.start({
      models: models.dir,
      args: ['--workers', '1'],
      config: { store: { settleMs: 0 } },
    })
    await server.logs('registry.scanned')
  })

  after(async () => {
    await server.stop()
    await models.removeAll()
  })

  it('tells which replica it was and what its cache did', async () => {
    const ids = { name: 'ids', datatype: 'INT64', shape: [1], data: BigInt64Array.of(99n) } as const
    const replica = (await infer(server.client, 'acme/churn', addOne().inputs(new Rng('answers'), 1))).headers[
      'x-modelmux-replica'
    ]
    const caches: unknown[] = []
    for (let i = 0; i < 2; i++) {
      const answer = await infer(server.client, 'acme/table', [ids])
      assertRefused(answer, 400, 'BAD_INPUT_VALUE', /./)
      assert.equal(answer.headers['x-modelmux-replica'], replica)
      caches.push(answer.headers['x-modelmux-cache'])
    }
    assert.deepEqual(caches, ['compile', 'hit'])
  })

  it('says nothing of a replica or a cache when none was asked', async () => {
    const answer = await infer(server.client, 'acme/nobody', [])
    assert.equal(answer.status, 404)
    assert.deepEqual([answer.headers['x-modelmux-replica'], answer.headers['x-modelmux-cache']], [undefined, undefined])
  })
})
