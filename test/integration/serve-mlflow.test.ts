/** `modelmux serve --models mlflow+http://...` against a real MLflow server, and models that MLflow itself logged. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { digestTag, SETTINGS_TAG } from '../../src/domain/mlflow-tags.ts'
import { until } from '../support/eventually.ts'
import { MlflowCustomers } from '../support/mlflow-customers.ts'
import { MlflowPublisher } from '../support/mlflow-publisher.ts'
import { MlflowServer, noMlflowServer } from '../support/mlflow-server.ts'
import { sha256Of } from '../support/object-server.ts'
import { noS3Server, S3Server } from '../support/s3-server.ts'
import { runModelmux, ServerProcess } from '../support/server-process.ts'

const BUCKET = 'artifacts'

describe('serving models from MLflow', { skip: noMlflowServer }, () => {
  let mlflow: MlflowServer
  let customers: MlflowCustomers
  let publisher: MlflowPublisher
  let cache: string

  before(async () => {
    mlflow = await MlflowServer.start()
    customers = await MlflowCustomers.at(mlflow)
    publisher = new MlflowPublisher(mlflow.uri)
    cache = await mkdtemp(join(tmpdir(), 'modelmux-mlflow-cache-'))
    await customers.log([
      { customer: 1, name: 'churn', aliases: ['champion'], example: customers.example() },
      { customer: 2, name: 'churn', aliases: ['challenger'] },
      { customer: 3, name: 'fraud model' },
    ])
  })
  after(async () => {
    await publisher?.close()
    await customers?.remove()
    await mlflow?.stop()
    await rm(cache, { recursive: true, force: true })
  })

  function serve(at = cache, env: Readonly<Record<string, string>> = {}): Promise<ServerProcess> {
    return ServerProcess.start({
      models: `mlflow+${mlflow.uri}`,
      cache: at,
      config: { store: { mlflow: { pollMs: 500 } } },
      args: ['--workers', '1'],
      env,
    })
  }

  it('fetches a model with the files beside it through the proxy, and answers right by name, version and alias', async () => {
    const server = await serve()
    try {
      await server.logs('registry.scanned')
      // The first answer of all, without a retry.
      const first = await customers.askRight(server, 'churn', 1)
      assert.deepEqual([first.headers['x-modelmux-version'], first.headers['x-modelmux-cache']], ['1', 'compile'])
      await customers.askRight(server, 'churn@challenger', 2)
      await customers.askRight(server, 'churn:2', 2)
      await customers.askRight(server, encodeURI('fraud model'), 3)
      const fetched = await server.logs('source.fetched', ({ key }) => String(key).startsWith('churn:1'))
      assert.equal(fetched.integrity, 'weak')
      const logged = Object.keys(await publisher.filesOf('churn', '1'))
      assert.equal(fetched.files, logged.length)
      for (const ending of ['.onnx', '.data', 'MLmodel', 'input_example.json'])
        assert.ok(
          logged.some((path) => path.endsWith(ending)),
          ending,
        )
      // The example that was logged with one of them is what it was held against its original on.
      for (const [key, check] of [
        ['churn:1#', 'given'],
        ['churn:2#', 'generated'],
      ] as const) {
        const compiled = await server.logs('artifact.compiled', (line) => String(line.key).startsWith(key))
        assert.equal(compiled.check, check)
      }
      assert.equal(server.logged('model.warm-up-failed').length, 0)
      const metrics = await server.metrics()
      assert.equal(metrics.get('modelmux_models_registered'), 3)
    } finally {
      await server.stop()
    }
  })

  it('finds a version that was published a moment ago, and moves to the one that an alias moves to without a failed request', async () => {
    const server = await serve()
    try {
      await server.logs('registry.scanned')
      await customers.log([{ customer: 4, name: 'late', aliases: ['champion'] }])
      await until('it is found', () => customers.isAnsweredBy(server, 'late', 4))
      await customers.log([{ customer: 5, name: 'late' }])
      await customers.askRight(server, 'late', 4)
      await publisher.mlflow.setAlias('late', 'champion', '2')
      const statuses = new Set<number>()
      await until('the other one answers', async () => {
        statuses.add((await customers.ask(server, 'late')).status)
        return await customers.isAnsweredBy(server, 'late', 5)
      })
      assert.deepEqual([...statuses], [200])
    } finally {
      await server.stop()
    }
  })

  it('holds files against the digests that their version has as tags, and runs a model as the tag of its owner says', async () => {
    const files = await publisher.filesOf('churn', '1')
    const digests = Object.entries(files).map(([path, content]) => [digestTag(path), sha256Of(content)] as const)
    await publisher.publish('tagged', files, Object.fromEntries(digests))
    await publisher.publish('lying', files, { [digestTag('model.onnx')]: sha256Of(Buffer.from('another model')) })
    await publisher.setModelTag('tagged', SETTINGS_TAG, 'intraOpThreads: 3')
    const server = await serve()
    try {
      await server.logs('registry.scanned')
      await customers.askRight(server, 'tagged', 1)
      const fetched = await server.logs('source.fetched', ({ key }) => String(key).startsWith('tagged'))
      assert.equal(fetched.integrity, 'sha256')
      const { json } = await server.client.get('/v2/models/tagged/config')
      assert.deepEqual(json.parameters, { version: { string_value: '1' }, intra_op_threads: { string_value: '3' } })
      const refused = await customers.ask(server, 'lying')
      assert.deepEqual([refused.status, refused.json.code], [422, 'ARTIFACT_CORRUPT'])
    } finally {
      await server.stop()
    }
  })

  it('serves the file that the MLmodel names, whatever it is called, with as many threads as it says', async () => {
    const {
      'model.onnx': graph = Buffer.alloc(0),
      MLmodel = Buffer.alloc(0),
      ...rest
    } = await publisher.filesOf('churn', '1')
    const renamed = MLmodel.toString()
      .replace('data: model.onnx', 'data: graph/net.onnx')
      .replace('onnx_session_options: null', 'onnx_session_options:\n      intra_op_num_threads: 2')
    const data = Object.entries(rest).map(([path, content]) => [
      path.endsWith('.data') ? `graph/${path}` : path,
      content,
    ])
    await publisher.publish('renamed', {
      ...(Object.fromEntries(data) as Record<string, Buffer>),
      'graph/net.onnx': graph,
      MLmodel: renamed,
    })
    const server = await serve()
    try {
      await server.logs('registry.scanned')
      await customers.askRight(server, 'renamed', 1)
      const { json } = await server.client.get('/v2/models/renamed/config')
      assert.deepEqual(json.parameters, { version: { string_value: '1' }, intra_op_threads: { string_value: '2' } })
    } finally {
      await server.stop()
    }
  })

  it('serves models under a prefix, beside those of a folder', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'modelmux-mlflow-beside-'))
    const server = await ServerProcess.start({
      models: folder,
      config: { store: { sources: [{ prefix: 'acme', models: `mlflow+${mlflow.uri}` }] } },
      args: ['--workers', '1'],
    })
    try {
      await until('it is known', async () => (await customers.ask(server, 'acme/churn')).status === 200)
      const answer = await customers.askRight(server, 'acme/churn@challenger', 2)
      assert.equal(answer.headers['x-modelmux-model'], 'acme/churn')
      assert.equal((await customers.ask(server, 'churn')).json.code, 'MODEL_NOT_FOUND')
    } finally {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    }
  })

  it('compiles what nobody asked for yet, on the example that was logged, and serves it from there', async () => {
    const here = await mkdtemp(join(tmpdir(), 'modelmux-mlflow-compiled-'))
    try {
      const place = ['--models', `mlflow+${mlflow.uri}`, '--cache', here]
      const { code, stderr } = await runModelmux(['compile', ...place, 'churn'], {})
      assert.deepEqual([code, stderr], [0, ''])
      const manifests = (await readdir(here)).filter((file) => /^[^.].*\.json$/.test(file))
      const checks = await Promise.all(
        manifests.map(
          async (file) => (JSON.parse(await readFile(join(here, file), 'utf8')) as { check?: string }).check,
        ),
      )
      assert.deepEqual(new Set(checks), new Set(['generated', 'given']))
      const server = await serve(here)
      try {
        await server.logs('registry.scanned')
        const answer = await customers.askRight(server, 'churn', 1)
        assert.equal(answer.headers['x-modelmux-cache'], 'load')
      } finally {
        await server.stop()
      }
    } finally {
      await rm(here, { recursive: true, force: true })
    }
  })

  it('takes its server from the environment of MLflow', async () => {
    const server = await ServerProcess.start({
      models: 'mlflow:',
      cache,
      args: ['--workers', '1'],
      env: { MLFLOW_TRACKING_URI: mlflow.uri },
    })
    try {
      await server.logs('registry.scanned')
      await customers.askRight(server, 'churn', 1)
    } finally {
      await server.stop()
    }
  })

  it('serves after a restart what is compiled here although MLflow is gone, and says of the rest that it cannot be had', async () => {
    const here = await mkdtemp(join(tmpdir(), 'modelmux-mlflow-warm-'))
    const first = await serve(here)
    await first.logs('registry.scanned')
    await customers.askRight(first, 'churn', 1)
    await first.stop()
    await mlflow.halt()
    try {
      const second = await serve(here)
      try {
        await customers.askRight(second, 'churn', 1)
        await second.logs('registry.root_lost')
        const cold = await customers.ask(second, 'churn:2')
        assert.deepEqual([cold.status, cold.json.code], [503, 'STORE_UNAVAILABLE'])
        assert.ok(Number(cold.headers['retry-after']) > 0)
        const unknown = await customers.ask(second, 'unheard-of')
        assert.deepEqual([unknown.status, unknown.json.code], [503, 'REGISTRY_UNAVAILABLE'])
        const ages = (await second.client.get('/metrics')).text.match(/^modelmux_registry_age_seconds.*$/m)?.[0] ?? ''
        assert.ok(Number(ages.split(' ').at(-1)) > 0, ages)
        // It comes back by itself.
        await mlflow.resume()
        await second.logs('registry.root_found')
        await until('the rest can be had', () => customers.isAnsweredBy(second, 'churn:2', 2))
      } finally {
        await second.stop()
      }
    } finally {
      await mlflow.resume()
      await rm(here, { recursive: true, force: true })
    }
  })
})

describe('serving models from MLflow whose artifacts lie in S3', { skip: noMlflowServer || noS3Server }, () => {
  let s3: S3Server
  let mlflow: MlflowServer
  let customers: MlflowCustomers

  before(async () => {
    s3 = await S3Server.start({ buckets: [BUCKET] })
    const env = { ...s3.env, MLFLOW_S3_ENDPOINT_URL: s3.endpoint }
    mlflow = await MlflowServer.start({ root: `s3://${BUCKET}/mlflow`, env })
    customers = await MlflowCustomers.at(mlflow)
    await customers.log([{ customer: 1, name: 'churn' }])
  })
  after(async () => {
    await customers?.remove()
    await mlflow?.stop()
    await s3?.stop()
  })

  function serve(artifacts: readonly string[]): Promise<ServerProcess> {
    return ServerProcess.start({
      models: `mlflow+${mlflow.uri}`,
      config: { store: { mlflow: { artifacts } } },
      args: ['--workers', '1'],
      env: { ...s3.env, MLFLOW_S3_ENDPOINT_URL: s3.endpoint },
    })
  }

  it('reads them from there, past MLflow, where that is allowed', async () => {
    const server = await serve([`s3://${BUCKET}/mlflow`])
    try {
      await server.logs('registry.scanned')
      await customers.askRight(server, 'churn', 1)
      assert.equal((await server.logs('source.fetched')).integrity === 'weak', false)
    } finally {
      await server.stop()
    }
  })

  it('does not where another prefix is allowed, and says what would be', async () => {
    const server = await serve([`s3://${BUCKET}/mlf`])
    try {
      await server.logs('registry.scanned')
      const refused = await customers.ask(server, 'churn')
      assert.deepEqual([refused.status, refused.json.code], [424, 'ARTIFACT_UNREACHABLE'])
      assert.match(String(refused.json.error), /bucket 'artifacts' are not allowed/)
    } finally {
      await server.stop()
    }
  })
})
