/** `modelmux serve --models s3://...` against a real S3 server: fetched, compiled, answered; and what is left when S3 is gone. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { modelBytes, Rng } from '../../loadtest/models/index.ts'
import { addOne, identity, SIDECARS, sidecar } from '../../loadtest/models/special/index.ts'
import { until } from '../support/eventually.ts'
import type { Answer } from '../support/http-client.ts'
import { assertOutputs, infer } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { noS3Server, S3Server } from '../support/s3-server.ts'
import { ServerProcess } from '../support/server-process.ts'

const BUCKET = 'models'
const rng = new Rng('serve s3')

describe('serving models from S3', { skip: noS3Server }, () => {
  let s3: S3Server
  let folder: ModelsFolder
  let cache: string
  let tests = 0
  let prefix = ''

  before(async () => {
    s3 = await S3Server.start({ buckets: [BUCKET] })
    folder = await ModelsFolder.make()
    cache = await mkdtemp(join(tmpdir(), 'modelmux-s3-cache-'))
  })
  after(async () => {
    await s3.stop()
    await folder.removeAll()
    await rm(cache, { recursive: true, force: true })
  })
  beforeEach(() => {
    prefix = `test-${++tests}/`
  })

  function serve(at = cache): Promise<ServerProcess> {
    return ServerProcess.start({
      models: `s3://${BUCKET}/${prefix}`,
      cache: at,
      config: { store: { settleMs: 0, s3: { endpoint: s3.endpoint, pathStyle: true, pollMs: 500 } } },
      args: ['--workers', '1'],
      env: s3.env,
    })
  }

  /** Publishes a version as its publisher should: the model file last. */
  async function publish(name: string, version: string): Promise<void> {
    const at = folder.path(name, version)
    for (const file of (await readdir(at)).toSorted((a, b) => Number(a === 'model.onnx') - Number(b === 'model.onnx')))
      await s3.putFile(BUCKET, `${prefix}${name}/${version}/${file}`, join(at, file))
  }

  async function answered(server: ServerProcess, name: string, inputs: Parameters<typeof infer>[2]): Promise<Answer> {
    await until(`${name} is served`, async () => (await infer(server.client, name, inputs)).status !== 503)
    return await infer(server.client, name, inputs)
  }

  it('fetches what is asked for, with what lies beside it, and answers right', async () => {
    await folder.write('acme/churn', '1', addOne().model)
    await publish('acme/churn', '1')
    await folder.write('acme/large', '3', sidecar().model, SIDECARS[0])
    await publish('acme/large', '3')
    const server = await serve()
    try {
      await server.logs('registry.scanned')
      const inputs = addOne().inputs(rng, 2)
      // The first answer of all, without a retry.
      assertOutputs(await infer(server.client, 'acme/churn', inputs), addOne().expected(inputs))
      const large = sidecar().inputs(rng, 2)
      assertOutputs(await infer(server.client, 'acme/large', large), sidecar().expected(large))
      const fetched = await server.logs('source.fetched', ({ key }) => String(key).startsWith('acme/large:3'))
      assert.equal(fetched.integrity, 'crc64nvme')
      const metrics = await server.metrics()
      assert.equal(metrics.get('modelmux_models_registered'), 2)
      assert.ok((metrics.get('modelmux_registry_age_seconds{prefix=""}') ?? -1) >= 0)
    } finally {
      await server.stop()
    }
  })

  it('serves after a restart what is compiled here although S3 is gone, and says of the rest that it cannot be had', async () => {
    const here = await mkdtemp(join(tmpdir(), 'modelmux-s3-warm-'))
    await folder.write('warm', '1', addOne().model)
    await folder.write('cold', '1', identity('FP32').model)
    await publish('warm', '1')
    await publish('cold', '1')
    const inputs = addOne().inputs(rng, 2)
    const first = await serve(here)
    await first.logs('registry.scanned')
    assertOutputs(await infer(first.client, 'warm', inputs), addOne().expected(inputs))
    await first.stop()
    await s3.halt()
    try {
      const second = await serve(here)
      try {
        assertOutputs(await infer(second.client, 'warm', inputs), addOne().expected(inputs))
        await second.logs('registry.root_lost')
        const cold = await infer(second.client, 'cold', identity('FP32').inputs(rng, 1))
        assert.deepEqual([cold.status, cold.json.code], [503, 'STORE_UNAVAILABLE'])
        assert.ok(Number(cold.headers['retry-after']) > 0)
        const unknown = await infer(second.client, 'unheard-of', inputs)
        assert.deepEqual([unknown.status, unknown.json.code], [503, 'REGISTRY_UNAVAILABLE'])
        assert.equal(second.logged('registry.restored')[0]?.models, 2)
        // It comes back by itself.
        await s3.resume()
        await second.logs('registry.root_found')
        assertOutputs(
          await answered(second, 'cold', identity('FP32').inputs(new Rng('again'), 1)),
          identity('FP32').expected(identity('FP32').inputs(new Rng('again'), 1)),
        )
      } finally {
        await second.stop()
      }
    } finally {
      await s3.resume()
      await rm(here, { recursive: true, force: true })
    }
  })

  it('compiles after a restart what was fetched here although S3 is gone, and hears of what changed once it is back', async () => {
    const here = await mkdtemp(join(tmpdir(), 'modelmux-s3-fetched-'))
    await folder.write('fetched', '1', addOne().model)
    await publish('fetched', '1')
    const inputs = addOne().inputs(rng, 2)
    const first = await serve(here)
    await first.logs('registry.scanned')
    assertOutputs(await infer(first.client, 'fetched', inputs), addOne().expected(inputs))
    await first.stop()
    // All that was compiled is of no use any more, as after an upgrade of the engine.
    for (const name of await readdir(here))
      if (/\.(onnx|json)$/.test(name)) await rm(join(here, name), { recursive: true })
    await s3.halt()
    try {
      const second = await serve(here)
      try {
        const answer = await infer(second.client, 'fetched', inputs)
        assertOutputs(answer, addOne().expected(inputs))
        assert.equal(answer.headers['x-modelmux-cache'], 'compile')
        assert.deepEqual(second.logged('source.fetched'), [])
        await s3.resume()
        await s3.put(BUCKET, `${prefix}fetched/1/model.onnx`, modelBytes(identity('FP32').model))
        const others = identity('FP32').inputs(rng, 1)
        await until('the new bytes answer', async () => (await infer(second.client, 'fetched', others)).status === 200)
      } finally {
        await second.stop()
      }
    } finally {
      await s3.resume()
      await rm(here, { recursive: true, force: true })
    }
  })

  it('finds a model that was published a moment ago, and moves to a version that replaces another', async () => {
    const server = await serve()
    try {
      await server.logs('registry.scanned')
      const inputs = addOne().inputs(rng, 1)
      await folder.write('late', '1', addOne().model)
      await publish('late', '1')
      assertOutputs(await answered(server, 'late', inputs), addOne().expected(inputs))
      await s3.put(BUCKET, `${prefix}late/1/model.onnx`, modelBytes(identity('FP32').model))
      await server.logs('model.changed')
      const others = identity('FP32').inputs(rng, 1)
      await until('the new bytes answer', async () => (await infer(server.client, 'late', others)).status === 200)
      assertOutputs(await infer(server.client, 'late', others), identity('FP32').expected(others))
      await s3.remove(BUCKET, `${prefix}late/1/model.onnx`)
      await until(
        'it is gone',
        async () => (await infer(server.client, 'late', inputs)).json.code === 'MODEL_NOT_FOUND',
      )
    } finally {
      await server.stop()
    }
  })

  it('serves an archive in place of a folder, as multi-model servers of SageMaker keep them', async () => {
    await folder.write('packed', '1', sidecar().model, SIDECARS[0])
    const archive = join(cache, 'packed.tar.gz')
    await promisify(execFile)('tar', ['-czf', archive, '-C', folder.path('packed', '1'), '.'])
    await s3.putFile(BUCKET, `${prefix}packed.tar.gz`, archive)
    const server = await serve()
    try {
      await server.logs('registry.scanned')
      const inputs = sidecar().inputs(rng, 2)
      assertOutputs(await infer(server.client, 'packed', inputs), sidecar().expected(inputs))
    } finally {
      await server.stop()
    }
  })

  it('tells a bucket that is not there, and one that it may not read, from a model that is not', async () => {
    for (const [env, reason] of [
      [{ ...s3.env, AWS_SECRET_ACCESS_KEY: 'wrong' }, /403 SignatureDoesNotMatch/],
      [s3.env, /404 NoSuchBucket/],
    ] as const) {
      const server = await ServerProcess.start({
        models: reason.source.includes('404') ? 's3://no-such-bucket/x' : `s3://${BUCKET}/x`,
        config: { store: { s3: { endpoint: s3.endpoint, pathStyle: true, pollMs: 500 } } },
        args: ['--workers', '1'],
        env,
      })
      try {
        assert.match(String((await server.logs('registry.root_lost')).reason), reason)
        const answer = await infer(server.client, 'any', addOne().inputs(rng, 1))
        assert.deepEqual([answer.status, answer.json.code], [503, 'REGISTRY_UNAVAILABLE'])
        assert.ok(!answer.text.includes('StringToSign') && !answer.text.includes(s3.env.AWS_ACCESS_KEY_ID ?? '?'))
      } finally {
        await server.stop()
      }
    }
  })
})
