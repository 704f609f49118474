import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GatewayError } from '../../src/domain/errors.ts'
import { NO_STATISTICS } from '../support/fake-gateway.ts'
import { startHttp } from '../support/http-harness.ts'
import { ManualClock } from '../support/manual-clock.ts'

describe('routes over HTTP', () => {
  it('tells who it is, with and without a trailing slash', async () => {
    const http = await startHttp()
    for (const path of ['/v2', '/v2/']) {
      const { status, json } = await http.get(path)
      assert.equal(status, 200)
      assert.equal(json.name, 'modelmux')
      assert.equal(json.version, '1.2.3')
      assert.deepEqual(json.extensions, [
        'model_repository',
        'model_repository(unload_dependents)',
        'model_configuration',
        'classification',
        'statistics',
        'parameters',
        'binary_tensor_data',
      ])
    }
  })

  it('is alive whatever the gateway says, and ready only when the gateway is', async () => {
    const http = await startHttp()
    for (const path of ['/livez', '/v2/health/live']) assert.deepEqual((await http.get(path)).json, { live: true })
    for (const path of ['/readyz', '/v2/health/ready']) {
      http.gateway.notReady = undefined
      assert.deepEqual((await http.get(path)).json, { ready: true })
      http.gateway.notReady = 'no worker is up'
      const answer = await http.get(path)
      assert.equal(answer.status, 503)
      assert.equal(answer.json.error, 'no worker is up')
      assert.equal(answer.json.ready, false)
    }
    assert.equal((await http.get('/livez')).status, 200)
  })

  it('lists the names of models', async () => {
    const http = await startHttp()
    assert.deepEqual((await http.get('/v2/models')).json, { models: ['acme/churn'] })
  })

  it('describes a model in the words of the protocol, free dimensions as -1', async () => {
    const http = await startHttp()
    http.gateway.meta = { artifact: { form: 'mapped', isBatchSafe: false, batchReason: 'reduces over rows' } }
    const answer = await http.get('/v2/models/acme/churn')
    assert.deepEqual(answer.json, {
      name: 'acme/churn',
      versions: ['6', '7'],
      platform: 'onnxruntime_onnx',
      inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 4, -1] }],
      outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 1] }],
      properties: {
        version: '7',
        'alias.champion': '7',
        form: 'mapped',
        batch_safe: 'false',
        batch_reason: 'reduces over rows',
      },
    })
  })

  it('reads names from both ends of the URL, slashes raw or encoded', async () => {
    const http = await startHttp()
    await http.get('/v2/models/acme/churn')
    await http.get('/v2/models/acme%2Fchurn/versions/3')
    await http.get('/v2/models/acme/churn/ready')
    await http.get('/v2/models/acme%2Fchurn/versions/3/ready')
    await http.get('/v2/models/acme/churn@champion/stats')
    await http.get('/v2/models/stats')
    assert.deepEqual(http.gateway.calls, [
      'metadata acme/churn',
      'metadata acme/churn:3',
      'ready acme/churn',
      'ready acme/churn:3',
      'stats acme/churn@champion',
      'stats',
    ])
  })

  it('answers readiness of a model by status, for clients that look at nothing else', async () => {
    const http = await startHttp()
    const ready = await http.get('/v2/models/acme/churn/ready')
    assert.equal(ready.status, 200)
    assert.deepEqual(ready.json, { name: 'acme/churn', version: '7', ready: true })
    http.gateway.ready = { isReady: false, reason: 'the last load failed: disk full' }
    const unready = await http.get('/v2/models/acme/churn/ready')
    assert.equal(unready.status, 503)
    assert.match(String(unready.json.error), /disk full/)
    assert.equal(unready.json.model, 'acme/churn')
    assert.equal(unready.json.ready, false)
  })

  it('gives statistics in the shape of the extension', async () => {
    const http = await startHttp()
    const tally = { count: 2, ns: 1500.4 }
    http.gateway.stats = [
      {
        ...NO_STATISTICS,
        name: 'acme/churn',
        version: '7',
        lastInferenceMs: 1_700_000_000_000,
        inferenceCount: 2,
        executionCount: 1,
        success: tally,
        batches: [{ batchRows: 2, computeInput: tally, computeInfer: tally, computeOutput: tally }],
        memory: [{ type: 'CPU', id: 0, bytes: 4096 }],
      },
    ]
    const { json } = await http.get('/v2/models/acme/churn/versions/7/stats')
    const none = { count: 0, ns: 0 }
    const some = { count: 2, ns: 1500 }
    assert.deepEqual(json, {
      model_stats: [
        {
          name: 'acme/churn',
          version: '7',
          last_inference: 1_700_000_000_000,
          inference_count: 2,
          execution_count: 1,
          inference_stats: {
            success: some,
            fail: none,
            queue: none,
            compute_input: none,
            compute_infer: none,
            compute_output: none,
            cache_hit: none,
            cache_miss: none,
          },
          batch_stats: [{ batch_size: 2, compute_input: some, compute_infer: some, compute_output: some }],
          memory_usage: [{ type: 'CPU', id: 0, byte_size: 4096 }],
        },
      ],
    })
  })

  it('answers the repository index with an array, for an empty body too', async () => {
    const http = await startHttp()
    const rows = [{ name: 'acme/churn', version: '7', state: 'READY', reason: '' }]
    for (const body of ['', '{}', '{"ready":true}']) {
      const answer = await http.post('/v2/repository/index', body)
      assert.deepEqual(JSON.parse(answer.text), rows)
    }
    assert.deepEqual(http.gateway.calls, ['index all', 'index all', 'index ready'])
    assert.equal((await http.post('/v2/repository/index', '{"ready":1}')).status, 400)
  })

  it('loads and unloads what it is told, body or not', async () => {
    const http = await startHttp()
    const loaded = await http.post('/v2/repository/models/acme/churn/load', '')
    assert.equal(loaded.status, 200)
    assert.deepEqual(loaded.json, { name: 'acme/churn', version: '7', load: true })
    const unloaded = await http.post(
      '/v2/repository/models/acme%2Fchurn/unload',
      '{"parameters":{"unload_dependents":false}}',
    )
    assert.deepEqual(unloaded.json, { name: 'acme/churn', version: '7', unload: true })
    await http.post('/v2/repository/models/acme/churn:3/load', '{}')
    assert.deepEqual(http.gateway.calls, ['load acme/churn', 'unload acme/churn', 'load acme/churn:3'])
  })

  for (const parameters of ['{"config":"{}"}', '{"file:1/model.onnx":"AAAA"}']) {
    it(`refuses a load that brings its own ${parameters.slice(2, 6)}`, async () => {
      const http = await startHttp()
      const answer = await http.post('/v2/repository/models/m/load', `{"parameters":${parameters}}`)
      assert.equal(answer.status, 501)
      assert.equal(answer.json.code, 'UNSUPPORTED')
      assert.deepEqual(http.gateway.calls, [])
    })
  }

  for (const [name, path, body, status] of [
    ['JSON that is none', '/v2/repository/models/m/load', '{', 400],
    ['a body that is no object', '/v2/repository/index', '[]', 400],
    ['parameters that are no object', '/v2/repository/models/m/load', '{"parameters":3}', 400],
    ['a name that is none', '/v2/repository/models/a%2F../load', '{}', 400],
    ['an empty name', '/v2/repository/models//load', '{}', 400],
    ['an order it does not know', '/v2/repository/models/m/reload', '{}', 404],
    ['a repository by name', '/v2/repository/mine/index', '{}', 501],
    ['a body beyond all need', '/v2/repository/models/m/load', ' '.repeat(3_000_000), 413],
  ] as const) {
    it(`refuses ${name} with ${status} and a JSON error`, async () => {
      const http = await startHttp()
      const answer = await http.post(path, body)
      assert.equal(answer.status, status)
      assert.equal(answer.headers['content-type'], 'application/json')
      assert.equal(typeof answer.json.error, 'string')
      assert.deepEqual(http.gateway.calls, [])
    })
  }

  it('does not let keys of a body mean anything but themselves', async () => {
    const http = await startHttp()
    const answer = await http.post('/v2/repository/index', '{"__proto__":{"ready":true},"constructor":1}')
    assert.equal(answer.status, 200)
    assert.deepEqual(http.gateway.calls, ['index all'])
  })

  for (const [method, path, allow] of [
    ['DELETE', '/v2/models/acme/churn', 'GET'],
    ['PUT', '/v2', 'GET'],
    ['GET', '/v2/models/acme/churn/infer', 'POST'],
    ['GET', '/v2/infer', 'POST'],
    ['GET', '/v2/repository/index', 'POST'],
    ['POST', '/v2/models/acme/churn/ready', 'GET'],
    ['POST', '/metrics', 'GET'],
  ] as const) {
    it(`answers ${method} ${path} with 405 and the methods that are allowed`, async () => {
      const http = await startHttp()
      const answer = await http.send({ method, path })
      assert.equal(answer.status, 405)
      assert.ok(answer.headers.allow?.split(', ').includes(allow))
      assert.equal(answer.json.code, 'METHOD_NOT_ALLOWED')
    })
  }

  for (const path of ['/', '/nope', '/V2', '/v2/health/ready/', '/v2/health', '/v1/models/m', '/METRICS']) {
    it(`answers ${path} with 404 as JSON`, async () => {
      const http = await startHttp()
      const answer = await http.get(path)
      assert.equal(answer.status, 404)
      assert.equal(answer.headers['content-type'], 'application/json')
      assert.equal(answer.json.code, 'NOT_FOUND')
    })
  }

  for (const [path, allow] of [
    ['/v2', 'HEAD, GET, OPTIONS'],
    ['/v2/models/acme/churn/ready', 'HEAD, GET, OPTIONS'],
    ['/v2/models/acme/churn/infer', 'POST, OPTIONS'],
    ['/v2/infer', 'POST, OPTIONS'],
    ['/v2/repository/index', 'POST, OPTIONS'],
  ] as const) {
    it(`tells which methods ${path} has, and nothing about other origins`, async () => {
      const http = await startHttp()
      const { status, headers, text } = await http.send({ method: 'OPTIONS', path, headers: ['origin', 'http://else'] })
      assert.deepEqual([status, headers.allow, text], [204, allow, ''])
      assert.equal(headers['access-control-allow-origin'], undefined)
    })
  }

  it('tells no methods of what is not there', async () => {
    const http = await startHttp()
    assert.equal((await http.send({ method: 'OPTIONS', path: '/nope' })).status, 404)
  })

  it('answers HEAD like GET without a body, errors too', async () => {
    const http = await startHttp()
    const found = await http.send({ method: 'HEAD', path: '/v2' })
    assert.equal(found.status, 200)
    assert.ok(Number(found.headers['content-length']) > 0)
    assert.equal(found.text, '')
    const missing = await http.send({ method: 'HEAD', path: '/nope' })
    assert.equal(missing.status, 404)
    assert.equal(missing.text, '')
  })

  it('gives the configuration in the words of the extension, with full shapes while requests are not stacked', async () => {
    const http = await startHttp()
    const { json } = await http.get('/v2/models/acme/churn/versions/7/config')
    assert.deepEqual(json, {
      name: 'acme/churn',
      platform: 'onnxruntime_onnx',
      backend: 'onnxruntime',
      version_policy: { all: {} },
      max_batch_size: 0,
      input: [{ name: 'x', data_type: 'TYPE_FP32', dims: [-1, 4, -1] }],
      output: [{ name: 'y', data_type: 'TYPE_FP32', dims: [-1, 1] }],
      instance_group: [{ name: 'acme/churn', kind: 'KIND_CPU', count: 1, gpus: [], passive: false }],
      default_model_filename: 'model.onnx',
      parameters: { version: { string_value: '7' }, intra_op_threads: { string_value: '1' } },
    })
  })

  it('leaves the rows out of the configuration of a model whose requests are stacked', async () => {
    const http = await startHttp()
    http.gateway.meta = {
      signature: {
        inputs: [{ name: 'text', datatype: 'BYTES', shape: ['N'] }],
        outputs: [{ name: 'y', datatype: 'INT64', shape: ['N', 2] }],
      },
      artifact: { form: 'mapped', isBatchSafe: true },
      gpu: 1,
    }
    const { json } = await http.get('/v2/models/m/config')
    assert.deepEqual(json.instance_group, [{ name: 'm', kind: 'KIND_GPU', count: 1, gpus: [1], passive: false }])
    assert.equal(json.max_batch_size, 64)
    assert.deepEqual(json.dynamic_batching, { max_queue_delay_microseconds: 2000 })
    assert.deepEqual(json.input, [{ name: 'text', data_type: 'TYPE_STRING', dims: [] }])
    assert.deepEqual(json.output, [{ name: 'y', data_type: 'TYPE_INT64', dims: [2] }])
  })

  it('passes errors of the gateway on with the names they know', async () => {
    const http = await startHttp()
    http.gateway.error = new GatewayError('VERSION_NOT_FOUND', 'acme/churn has no version 9', {
      model: 'acme/churn',
      version: '9',
    })
    const answer = await http.get('/v2/models/acme/churn/versions/9')
    assert.equal(answer.status, 404)
    assert.equal(answer.json.code, 'VERSION_NOT_FOUND')
    assert.equal(answer.json.model, 'acme/churn')
    assert.equal(answer.json.version, '9')
    assert.equal(answer.headers['x-modelmux-version'], '9')
  })

  it('turns an error it does not know into a 500 that says nothing of its inside', async () => {
    const http = await startHttp()
    http.gateway.error = new TypeError('secret of the house')
    const answer = await http.get('/v2/models/acme/churn')
    assert.equal(answer.status, 500)
    assert.doesNotMatch(answer.text, /secret/)
  })

  it('limits metadata for one address, and allows it again with time', async () => {
    const clock = new ManualClock()
    const http = await startHttp({ metadataPerSecond: 1 }, { clock })
    for (let i = 0; i < 2; i++) assert.equal((await http.get('/v2/models/m')).status, 200)
    const refused = await http.get('/v2/models/m')
    assert.equal(refused.status, 429)
    assert.equal(refused.json.code, 'QUOTA_EXCEEDED')
    assert.equal(refused.headers['retry-after'], '1')
    assert.equal((await http.get('/v2/models/m/ready')).status, 200)
    clock.tick(1000)
    assert.equal((await http.get('/v2/models/m')).status, 200)
  })

  it('gives metadata that takes no walk through a model file without limit', async () => {
    const http = await startHttp({ metadataPerSecond: 1 }, { clock: new ManualClock() })
    http.gateway.isWalked = false
    for (let i = 0; i < 5; i++) assert.equal((await http.get('/v2/models/m')).status, 200)
  })

  it('limits lists of all models for one address, apart from metadata', async () => {
    const http = await startHttp({ metadataPerSecond: 5 }, { clock: new ManualClock() })
    assert.equal((await http.get('/v2/models')).status, 200)
    assert.equal((await http.get('/v2/models/stats')).status, 200)
    for (const path of ['/v2/models', '/v2/models/stats']) assert.equal((await http.get(path)).status, 429)
    assert.equal((await http.post('/v2/repository/index')).status, 429)
    assert.equal((await http.get('/v2/models/m/stats')).status, 200)
    assert.equal((await http.get('/v2/models/m')).status, 200)
  })

  it('prints metrics with the content type of their format, or has no such URL', async () => {
    const http = await startHttp()
    const answer = await http.get('/metrics')
    assert.equal(answer.text, 'up 1\n')
    assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4')
    const without = await startHttp({}, { metrics: undefined })
    assert.equal((await without.get('/metrics')).status, 404)
  })

  it('never lets a URL become a label: summaries carry templates', async () => {
    const http = await startHttp()
    await http.get('/v2/models/acme/churn/versions/3/ready')
    await http.get('/whatever/it/is')
    await http.post('/v2/infer')
    await http.post('/v2/repository/models/acme/churn/load')
    await http.finished(4)
    assert.deepEqual(
      http.summaries.map(({ route }) => route),
      ['/v2/models/{model}/versions/{version}/ready', 'unknown', '/v2/infer', '/v2/repository/models/{model}/load'],
    )
  })
})
