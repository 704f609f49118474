/** The MLflow client against a server that is slow, down, hostile, or no MLflow at all. */
import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { afterEach, describe, it } from 'node:test'
import type { Timer } from '../../src/lib/clock.ts'
import { until } from '../support/eventually.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { answersWith, fails, MlflowRig } from '../support/mlflow-rig.ts'

const MODEL = JSON.stringify({ registered_model: { name: 'm' } })
const rig = new MlflowRig()

afterEach(() => rig.close())

/** Notes what is waited for. */
class NotingClock extends ManualClock {
  readonly delays: number[] = []

  override after(ms: number, task: () => void): Timer {
    this.delays.push(ms)
    return super.after(ms, task)
  }
}

describe('the MLflow client', () => {
  it('shows who it is on every request: user and password, or a token; and its workspace', async () => {
    const seen: IncomingMessage['headers'][] = []
    const { uri } = await rig.listen(({ headers }, response) => {
      seen.push(headers)
      response.end(MODEL)
    })
    await rig.connect(uri, { credentials: { kind: 'basic', user: 'ü', password: 'p:w' } }).mlflow.model('m')
    await rig.connect(uri, { credentials: { kind: 'bearer', token: 't' }, workspace: 'team-a' }).mlflow.model('m')
    await rig.connect(uri).mlflow.model('m')
    assert.deepEqual(
      seen.map((headers) => [headers.authorization, headers['x-mlflow-workspace']]),
      [
        [`Basic ${Buffer.from('ü:p:w').toString('base64')}`, undefined],
        ['Bearer t', 'team-a'],
        [undefined, undefined],
      ],
    )
  })

  it('asks below the path of a server that has one, with names that need quoting', async () => {
    const { uri, asked } = await rig.listen(answersWith([200, MODEL]))
    await rig.connect(`${uri}/base/`).mlflow.model('a/b &c=ü')
    assert.deepEqual(asked, ['GET /base/api/2.0/mlflow/registered-models/get?name=a%2Fb+%26c%3D%C3%BC'])
  })

  it('takes numbers as numbers or as text, and lists that are not there as empty', async () => {
    const version = {
      name: 'm',
      version: 7,
      creation_timestamp: 1600000000000,
      last_updated_timestamp: '1700000000000',
      run_id: '',
      status: 'READY',
    }
    const { uri } = await rig.listen(
      answersWith(
        [200, JSON.stringify({ model_versions: [version], next_page_token: '' })],
        [200, '{}'],
        [200, '{"registered_models": null, "next_page_token": null, "unknown": 1}'],
      ),
    )
    const { mlflow } = rig.connect(uri)
    const expected = {
      name: 'm',
      version: '7',
      status: 'READY',
      tags: new Map(),
      createdMs: 1.6e12,
      lastUpdatedMs: 1.7e12,
      runId: undefined,
    }
    assert.deepEqual(await mlflow.searchVersions({ limit: 10 }), { versions: [expected], next: undefined })
    assert.deepEqual(await mlflow.searchVersions({ limit: 10 }), { versions: [], next: undefined })
    assert.deepEqual(await mlflow.searchModels({ limit: 10 }), { models: [], next: undefined })
  })

  it('refuses an answer of another shape, and names the field and none of its content', async () => {
    const { uri } = await rig.listen(answersWith([200, '{"registered_model": {"name": {"secret": 1}}}']))
    const error = await fails(
      rig.connect(uri).mlflow.model('m'),
      'refused',
      /registered-models\/get .* at registered_model\.name$/,
    )
    assert.doesNotMatch(error.message, /secret/)
  })

  it('repeats what only reads when the server fails, within its budget', async () => {
    const { uri, asked } = await rig.listen(answersWith([503, ''], [502, '<html>'], [200, MODEL]))
    assert.equal((await rig.connect(uri).mlflow.model('m')).name, 'm')
    assert.equal(asked.length, 3)
  })

  it('asks a server that stays down hardly more often than it is called', async () => {
    const { uri, asked } = await rig.listen(answersWith([500, '']))
    const { mlflow } = rig.connect(uri)
    for (let calls = 0; calls < 20; calls++) await fails(mlflow.model('m'), 'unavailable')
    assert.ok(asked.length <= 20 + 5 + 2, `${asked.length} requests`)
  })

  it('does not repeat what may have had an effect, unless it was refused for coming too often', async () => {
    const failing = await rig.listen(answersWith([500, '']))
    await fails(rig.connect(failing.uri).mlflow.createModel('m'), 'unavailable')
    assert.equal(failing.asked.length, 1)
    const busy = await rig.listen(answersWith([429, ''], [200, MODEL]))
    await rig.connect(busy.uri).mlflow.createModel('m')
    assert.equal(busy.asked.length, 2)
  })

  it('comes back when it is asked to, if that is soon', async () => {
    const clock = new NotingClock()
    const soon = await rig.listen(answersWith([429, '', { 'retry-after': '2' }], [200, MODEL]))
    const call = rig.connect(soon.uri, { clock }).mlflow.model('m')
    await until('it waits', () => clock.delays.includes(2000))
    await clock.advance(1999)
    assert.equal(soon.asked.length, 1)
    await clock.advance(1)
    assert.equal((await call).name, 'm')
    const dated = await rig.listen(answersWith([503, '', { 'retry-after': 'Sun, 15 Jun 2025 15:06:50 GMT' }]))
    // The clock's wall says 15:06:40.
    const { mlflow } = rig.connect(dated.uri, { clock: new ManualClock() })
    assert.equal((await fails(mlflow.model('m'), 'unavailable')).retryAfterMs, 10_000)
    const late = await rig.listen(answersWith([503, '', { 'retry-after': '3600' }]))
    const error = await fails(rig.connect(late.uri).mlflow.model('m'), 'unavailable')
    assert.deepEqual([late.asked.length, error.retryAfterMs], [1, 600_000])
  })

  it('gives up a server that does not answer in time, and one that never ends', async () => {
    for (const listener of [
      () => undefined,
      (_request: IncomingMessage, response: ServerResponse) => void response.writeHead(200).write('{'),
    ]) {
      const clock = new ManualClock()
      const { uri, asked } = await rig.listen(listener)
      const work = fails(
        rig.connect(uri, { clock, limits: { maxTries: 1 } }).mlflow.model('m'),
        'unavailable',
        /within 20 s/,
      )
      await until('it is asked', () => asked.length === 1)
      await clock.advance(20_000)
      await work
      assert.equal(clock.pendingTimers, 0)
    }
  })

  it('tells a failure by its status, however long the page that comes with it', async () => {
    const page = `<html>${'x'.repeat(200_000)}`
    const { uri } = await rig.listen(answersWith([503, page, { 'retry-after': '7' }], [404, page]))
    const { http } = rig.connect(uri)
    const path = 'mlflow-artifacts/artifacts/f'
    const error = await fails(http.stream({ method: 'GET', path }), 'unavailable', /answered 503/)
    assert.equal(error.retryAfterMs, 7000)
    await fails(http.send({ method: 'PUT', path }, new Uint8Array(1), 1), 'no-endpoint', /answered 404/)
  })

  it('holds up no call with files that do not come', async () => {
    const { uri } = await rig.listen(({ url = '' }, response) => {
      if (url.includes('/mlflow/')) response.end(MODEL)
    })
    const { http, mlflow } = rig.connect(uri, { limits: { maxConnections: 1 } })
    const enough = new AbortController()
    const file = http.stream({ method: 'GET', path: 'mlflow-artifacts/artifacts/f' }, enough.signal)
    assert.equal((await mlflow.model('m')).name, 'm')
    enough.abort(new Error('enough'))
    await assert.rejects(file, /enough/)
  })

  it('leaves when its caller does', async () => {
    const { uri, asked } = await rig.listen(() => undefined)
    const caller = new AbortController()
    const reason = new Error('the caller left')
    const work = assert.rejects(rig.connect(uri).mlflow.model('m', caller.signal), reason)
    await until('it is asked', () => asked.length === 1)
    caller.abort(reason)
    await work
  })

  it('reads no more of an answer than it may have', async () => {
    let sent = 0
    const { uri } = await rig.listen((_request, response) => {
      const more = (): void => {
        while (sent < 2 ** 28 && response.write(Buffer.alloc(65_536, 32))) sent += 65_536
      }
      response.on('drain', more)
      more()
    })
    const { mlflow } = rig.connect(uri, { limits: { maxAnswerBytes: 2 ** 20 } })
    await fails(mlflow.model('m'), 'refused', /more than 1048576 bytes/)
    assert.ok(sent < 2 ** 27, `${sent} bytes were sent`)
  })

  it('takes the login page of a proxy for no answer', async () => {
    const { uri } = await rig.listen(answersWith([200, '<html>log in</html>']))
    await fails(rig.connect(uri, { limits: { maxTries: 1 } }).mlflow.model('m'), 'unavailable', /not JSON/)
  })

  it('follows no redirect, least of all to a metadata service', async () => {
    const target = await rig.listen(answersWith([200, MODEL]))
    for (const location of ['http://169.254.169.254/latest/meta-data/', target.uri]) {
      const { uri, asked } = await rig.listen(answersWith([302, '', { location }]))
      await fails(rig.connect(uri).mlflow.model('m'), 'refused', /redirects are not followed/)
      assert.equal(asked.length, 1)
    }
    assert.deepEqual(target.asked, [])
  })

  it('reaches no metadata service, even when it is named as the server', async () => {
    await fails(rig.connect('http://169.254.169.254').mlflow.model('m'), 'refused', /not allowed/)
  })

  it('says what is wrong with its credentials, and nothing of them', async () => {
    const { uri } = await rig.listen(
      answersWith([401, 'secret is not the password'], [403, '{"error_code": "PERMISSION_DENIED"}']),
    )
    const { mlflow } = rig.connect(uri, { credentials: { kind: 'basic', user: 'u', password: 'secret' } })
    const errors = [await fails(mlflow.model('m'), 'forbidden'), await fails(mlflow.model('m'), 'forbidden')]
    assert.deepEqual(
      errors.map(({ message }) => message),
      ['MLflow answered 401', 'MLflow answered 403 PERMISSION_DENIED'],
    )
  })
})
