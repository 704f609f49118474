/** The MLflow client, and the reader of its artifacts, against a real server and models that MLflow itself logged. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { GraphBuilder } from '../../loadtest/models/graph-builder.ts'
import type { OnnxModel } from '../../loadtest/models/onnx-model.ts'
import { DATA_TYPE, modelOf } from '../../loadtest/models/onnx-model.ts'
import { mlflowReader } from '../../src/app/mlflow-access.ts'
import { Mlflow } from '../../src/clients/mlflow.ts'
import { MlflowArtifacts } from '../../src/clients/mlflow-artifacts.ts'
import { MlflowHttp } from '../../src/clients/mlflow-http.ts'
import { SignedReads } from '../../src/clients/signed-reads.ts'
import { artifactPlaceOf, proxyLocation } from '../../src/domain/artifact-place.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { ReadFailure } from '../../src/store/object-reader.ts'
import { fails, PATIENT } from '../support/mlflow-rig.ts'
import { MlflowServer, noMlflowServer } from '../support/mlflow-server.ts'
import { noS3Server, S3Server } from '../support/s3-server.ts'
import { modelFolder } from '../support/tiny-models.ts'

const LIMITS = { connectMs: 5000, answerMs: 120_000, idleMs: 120_000, maxConnections: 4, clock: systemClock }
const ROW = Array.from({ length: 64 }, (_, index) => index / 64)

/** 16 KiB of weights: MLflow puts them beside the graph. */
function weightedModel(): OnnxModel {
  const graph = new GraphBuilder('weighted')
  graph.input('x', DATA_TYPE.FLOAT, ['N', 64])
  graph.node('MatMul', ['x', graph.weights('w', [64, 64], new Float32Array(64 * 64).fill(0.5))], { outputs: ['y'] })
  graph.output('y', DATA_TYPE.FLOAT, ['N', 64])
  return modelOf(graph.finish())
}

describe('the MLflow client and a real server', { skip: noMlflowServer }, () => {
  let server: MlflowServer
  let http: MlflowHttp
  let mlflow: Mlflow
  let artifacts: MlflowArtifacts
  let signedReads: SignedReads

  before(async () => {
    server = await MlflowServer.start()
    const rules = { server: server.uri, allowed: [] }
    http = new MlflowHttp({ uri: server.uri, clock: systemClock, random: Math.random, limits: PATIENT })
    mlflow = new Mlflow(http)
    artifacts = new MlflowArtifacts(http, rules, systemClock)
    signedReads = new SignedReads({ ...LIMITS, rules })
    const models = await modelFolder()
    const file = await models.write('weighted', weightedModel())
    await server.log([
      { file, name: 'churn model', example: [ROW], aliases: ['champion'], tags: { team: 'blue' } },
      { file, name: 'churn model', aliases: ['challenger'] },
      { file, name: 'fraud', externalData: false },
    ])
    await models[Symbol.asyncDispose]()
  })
  after(async () => {
    await http?.close()
    await signedReads?.close()
    await server?.stop()
  })

  it('pages through models, with their aliases', async () => {
    const first = await mlflow.searchModels({ limit: 1 })
    const second = await mlflow.searchModels({ limit: 1, pageToken: first.next })
    const rest =
      second.next === undefined ? [] : (await mlflow.searchModels({ limit: 1, pageToken: second.next })).models
    const all = [...first.models, ...second.models, ...rest]
    assert.deepEqual(
      all.map(({ name }) => name),
      ['churn model', 'fraud'],
    )
    assert.deepEqual(
      new Map(all[0]?.aliases),
      new Map([
        ['champion', '1'],
        ['challenger', '2'],
      ]),
    )
    assert.ok((all[0]?.lastUpdatedMs ?? 0) > 1e12)
  })

  it('pages through versions, of all models or of one', async () => {
    const seen: string[] = []
    let pageToken: string | undefined
    do {
      const page = await mlflow.searchVersions({ limit: 2, pageToken })
      seen.push(...page.versions.map(({ name, version, status }) => `${name} ${version} ${status}`))
      pageToken = page.next
    } while (pageToken !== undefined)
    assert.deepEqual(seen.toSorted(), ['churn model 1 READY', 'churn model 2 READY', 'fraud 1 READY'])
    const { versions, next } = await mlflow.searchVersions({ filter: "name='churn model'", limit: 100 })
    assert.deepEqual([versions.map(({ version }) => version).toSorted(), next], [['1', '2'], undefined])
  })

  it('tells of one model, of one version and of what an alias names', async () => {
    assert.equal((await mlflow.model('fraud')).name, 'fraud')
    assert.deepEqual((await mlflow.version('churn model', '1')).tags, new Map([['team', 'blue']]))
    assert.equal((await mlflow.byAlias('churn model', 'challenger')).version, '2')
  })

  it('tells what is not there from what is not known', async () => {
    await fails(mlflow.model('nobody'), 'not-found')
    await fails(mlflow.version('fraud', '99'), 'not-found')
    await fails(mlflow.version('fraud', 'newest'), 'not-found')
    await fails(mlflow.byAlias('fraud', 'champion'), 'not-found')
    await fails(mlflow.byAlias('nobody', 'champion'), 'not-found')
    await fails(mlflow.downloadUri('fraud', '99'), 'not-found')
    await fails(http.json({ method: 'GET', path: 'mlflow/no-such-call' }), 'no-endpoint')
    await fails(mlflow.searchVersions({ filter: 'name LIKE', limit: 10 }), 'refused')
  })

  it('lists and reads the folder that MLflow logged, weights included', async () => {
    const place = artifactPlaceOf(await mlflow.downloadUri('churn model', '1'), { server: server.uri, allowed: [] })
    assert.ok(place.kind === 'proxy')
    const files = await artifacts.list(place.path)
    const names = files.map(({ path }) => path)
    for (const name of ['MLmodel', 'model.onnx', 'input_example.json']) assert.ok(names.includes(name), names.join())
    const weights = files.find(({ path }) => path.endsWith('.data'))
    assert.equal(weights?.bytes, 64 * 64 * 4)
    const read = await buffer(await artifacts.read(`${place.path}/${weights.path}`, weights.bytes))
    assert.deepEqual(new Float32Array(read.buffer, read.byteOffset, 64 * 64), new Float32Array(64 * 64).fill(0.5))
  })

  it('reads as a store reads, and says so when a file is gone or has another size', async () => {
    const place = artifactPlaceOf(await mlflow.downloadUri('fraud', '1'), { server: server.uri, allowed: [] })
    assert.ok(place.kind === 'proxy')
    const [file] = await artifacts.list(place.path)
    assert.ok(file !== undefined)
    const reader = mlflowReader(artifacts, signedReads)
    const never = new AbortController().signal
    const location = proxyLocation(`${place.path}/${file.path}`)
    const read = async (change: { readonly location?: string; readonly bytes?: number }): Promise<number> => {
      const wanted = { ...file, location, ...change }
      return (await buffer(await reader.read(wanted, 0, wanted.bytes, never))).length
    }
    assert.equal(await read({}), file.bytes)
    const isFailure = (kind: string) => (error: unknown) => error instanceof ReadFailure && error.kind === kind
    await assert.rejects(read({ bytes: file.bytes + 1 }), isFailure('replaced'))
    await assert.rejects(read({ location: `${location}.gone` }), isFailure('missing'))
    await assert.rejects(read({ location: 's3://bucket/key' }), isFailure('denied'))
  })

  it('finds nothing in a folder that is not there', async () => {
    assert.deepEqual(await artifacts.list('0/no/such/folder'), [])
  })

  it('is offered no signed addresses by a server whose artifacts lie on its own disk', async () => {
    assert.equal(await artifacts.signed('0/whatever'), undefined)
  })

  it('publishes a version: run, files, version, alias and tags; and takes all of it back', async () => {
    const experimentId = await mlflow.createExperiment('published')
    assert.equal(await mlflow.experiment('published'), experimentId)
    assert.equal(await mlflow.experiment('never heard of'), undefined)
    await fails(mlflow.createExperiment('published'), 'conflict')
    const { runId, artifactUri } = await mlflow.createRun({ experimentId, name: 'new', startMs: systemClock.wall() })
    const place = artifactPlaceOf(artifactUri, { server: server.uri, allowed: [] })
    assert.ok(place.kind === 'proxy')
    const content = await readFile(new URL(import.meta.url))
    await artifacts.write(`${place.path}/model/a b+c.ts`, content, content.length)
    await mlflow.createModel('new')
    await fails(mlflow.createModel('new'), 'conflict')
    const tags = new Map([['modelmux.sha256', 'ab']])
    const { version } = await mlflow.createVersion({ name: 'new', source: `${artifactUri}/model`, runId, tags })
    await mlflow.endRun({ runId, status: 'FINISHED', endMs: systemClock.wall() })
    await mlflow.setVersionTag('new', version, 'k', 'v')
    await mlflow.setAlias('new', 'champion', version)
    const found = await mlflow.byAlias('new', 'champion')
    assert.deepEqual([found.version, found.runId, found.tags], [version, runId, new Map([...tags, ['k', 'v']])])
    const published = artifactPlaceOf(await mlflow.downloadUri('new', version), { server: server.uri, allowed: [] })
    assert.ok(published.kind === 'proxy')
    assert.deepEqual(await artifacts.list(published.path), [{ path: 'a b+c.ts', bytes: content.length }])
    const back = await buffer(await artifacts.read(`${published.path}/a b+c.ts`, content.length))
    assert.ok(back.equals(content))
    await mlflow.deleteAlias('new', 'champion')
    await fails(mlflow.byAlias('new', 'champion'), 'not-found')
    await mlflow.deleteVersion('new', version)
    await fails(mlflow.version('new', version), 'not-found')
    await mlflow.deleteModel('new')
    await fails(mlflow.model('new'), 'not-found')
  })

  it('ends with the reason of its signal', async () => {
    const reason = new Error('the caller left')
    await assert.rejects(mlflow.model('fraud', AbortSignal.abort(reason)), reason)
  })

  it('finds a halted server unavailable, and what it stored after it came back', async () => {
    await server.halt()
    await fails(mlflow.model('fraud'), 'unavailable')
    await server.resume()
    assert.equal((await mlflow.model('fraud')).name, 'fraud')
  })
})

describe('the MLflow client and a real server that keeps artifacts in S3', {
  skip: noMlflowServer || noS3Server,
}, () => {
  let s3: S3Server
  let server: MlflowServer
  let http: MlflowHttp

  before(async () => {
    s3 = await S3Server.start({ buckets: ['artifacts'] })
    const env = { ...s3.env, MLFLOW_S3_ENDPOINT_URL: s3.endpoint }
    server = await MlflowServer.start({ destination: 's3://artifacts/mlflow', env })
    http = new MlflowHttp({ uri: server.uri, clock: systemClock, random: Math.random, limits: PATIENT })
  })
  after(async () => {
    await http?.close()
    await server?.stop()
    await s3?.stop()
  })

  it('is given signed addresses, and reads from S3 where that is listed, else through the proxy', async () => {
    const content = Buffer.from('of a model')
    await new MlflowArtifacts(http, { server: server.uri, allowed: [] }, systemClock).write(
      '1/a b',
      content,
      content.length,
    )
    assert.equal(await s3.text('artifacts', 'mlflow/1/a b'), 'of a model')
    for (const allowed of [[s3.endpoint], []]) {
      const rules = { server: server.uri, allowed }
      const artifacts = new MlflowArtifacts(http, rules, systemClock)
      const reads = new SignedReads({ ...LIMITS, rules })
      const address = await artifacts.signed('1/a b')
      assert.equal(address?.url.origin, allowed[0])
      const file = { path: 'a b', bytes: content.length, location: proxyLocation('1/a b') }
      const chunks = await mlflowReader(artifacts, reads).read(file, 0, file.bytes, new AbortController().signal)
      assert.deepEqual(await buffer(chunks), content)
      if (address !== undefined) {
        const part = await reads.read(address, { from: 3, to: 6, bytes: content.length })
        assert.equal((await buffer(part)).toString(), 'a m')
      }
      await reads.close()
    }
  })
})
