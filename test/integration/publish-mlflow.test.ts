/** `modelmux publish` into a real MLflow registry, and a server that serves what came of it. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { float32Values, largestDeviation, modelBytes, modelClass, Rng } from '../../loadtest/models/index.ts'
import { SIDECARS, sidecar } from '../../loadtest/models/special/index.ts'
import { publishToMlflow } from '../../src/cli/publish-mlflow.ts'
import { MlflowArtifacts } from '../../src/clients/mlflow-artifacts.ts'
import { digestTag } from '../../src/domain/mlflow-tags.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { assertOutputs, infer } from '../support/infer-client.ts'
import { MlflowRig, PATIENT } from '../support/mlflow-rig.ts'
import { MlflowServer, noMlflowServer } from '../support/mlflow-server.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { noS3Server, S3Server } from '../support/s3-server.ts'
import { type Finished, runModelmux, ServerProcess } from '../support/server-process.ts'

interface Report {
  readonly version: string
  readonly uploadedBytes: number
  readonly files: ReadonlyArray<{
    readonly path: string
    readonly bytes: number
    readonly sha256: string
    readonly isUploaded: boolean
  }>
  readonly movedAliases: readonly string[]
}

describe('publishing to MLflow', { skip: noMlflowServer }, () => {
  const rig = new MlflowRig()
  let server: MlflowServer
  let dir: string

  before(async () => {
    server = await MlflowServer.start()
  })
  after(async () => {
    await rig.close()
    await server?.stop()
  })
  beforeEach(async (context) => {
    dir = await mkdtemp(join(tmpdir(), 'modelmux-publish-'))
    if ('after' in context) context.after(() => rm(dir, { recursive: true, force: true }))
  })

  function publish(...args: string[]): Promise<Finished> {
    return runModelmux(['publish', ...args], { env: { MLFLOW_TRACKING_URI: server.uri } })
  }

  async function published(...args: string[]): Promise<Report> {
    const { code, stdout, stderr } = await publish(...args, '--json')
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout) as Report
  }

  async function write(files: Readonly<Record<string, string | Buffer>>): Promise<void> {
    for (const [path, content] of Object.entries(files)) {
      await mkdir(join(dir, path, '..'), { recursive: true })
      await writeFile(join(dir, path), content)
    }
  }

  it('makes a folder a version that is served, held against the digests it brought', async (context) => {
    const folder = await ModelsFolder.make()
    context.after(() => folder.removeAll())
    await folder.write('any', '1', sidecar().model, SIDECARS[0])
    const place = `mlflow+${server.uri}/churn%20model`
    const done = await publish(folder.path('any', '1'), place, '--alias', 'champion')
    assert.equal(done.code, 0, done.stderr)
    assert.ok(done.stdout.startsWith(`published ${place} as version 1: 3 files`), done.stdout)
    assert.match(done.stdout, /^alias champion names version 1$/m)
    assert.equal(done.stderr, '')
    const modelmux = await ServerProcess.start({ models: `mlflow+${server.uri}`, args: ['--workers', '1'] })
    context.after(() => modelmux.stop())
    await modelmux.logs('registry.scanned')
    const inputs = sidecar().inputs(new Rng('publish'), 2)
    const path = '/v2/models/churn%20model@champion/infer'
    assertOutputs(await infer(modelmux.client, 'churn model', inputs, { path }), sidecar().expected(inputs))
    assert.equal((await modelmux.logs('source.fetched')).integrity, 'sha256')
  })

  it('makes no second version of the same files, moves only aliases that are elsewhere, and numbers other files', async () => {
    // Filters have a way to write it in one kind of quotes only.
    const name = "o'hara fraud"
    await write({ 'model.onnx': 'graph', 'weights.bin': 'weights', 'more/a part.bin': 'part', empty: '' })
    const first = await published(dir, `mlflow:${name}`, '--alias', 'next')
    const bytes = 16 + (first.files.find(({ path }) => path === 'MLmodel')?.bytes ?? 0)
    assert.deepEqual([first.version, first.uploadedBytes, first.movedAliases], ['1', bytes, ['next']])
    const again = await published(dir, `mlflow:${name}`, '--alias', 'next', '--alias', 'stable')
    assert.deepEqual([again.version, again.uploadedBytes, again.movedAliases], ['1', 0, ['stable']])
    assert.match((await publish(dir, `mlflow:${name}`)).stdout, /has these files already as version 1: 5 files/)
    await write({ 'weights.bin': 'WEIGHTS' })
    const second = await published(dir, `mlflow:${name}`, '--alias', 'next')
    assert.deepEqual([second.version, second.uploadedBytes, second.movedAliases], ['2', bytes, ['next']])
    const { mlflow } = rig.connect(server.uri, { limits: PATIENT })
    assert.deepEqual(
      new Map((await mlflow.model(name)).aliases),
      new Map([
        ['next', '2'],
        ['stable', '1'],
      ]),
    )
    const { tags } = await mlflow.version(name, '2')
    assert.deepEqual(tags, new Map(second.files.map(({ path, sha256 }) => [digestTag(path), sha256])))
  })

  it('writes what MLflow itself needs to load it, as a model of ONNX and as a function, with the same answers', async () => {
    const zoo = modelClass('XS')
    const recipe = { customer: 1, family: 'full', seed: 6 } as const
    await write({ 'model.onnx': Buffer.from(modelBytes(zoo.build(recipe))) })
    await published(dir, 'mlflow:loadable', '--alias', 'champion')
    const inputs = zoo.sampleInputs(new Rng('loadable'), 2)
    const values = [...float32Values(inputs, inputs[0]?.name ?? '')]
    const rows = [values.slice(0, values.length / 2), values.slice(values.length / 2)]
    const { outputs, isPyfunc } = await server.load('models:/loadable@champion', rows)
    const expected = zoo.expected(recipe, inputs)
    const wanted = float32Values(expected, expected[0]?.name ?? '')
    assert.ok(largestDeviation(Float32Array.from(outputs.flat()), wanted) <= zoo.tolerance)
    assert.equal(isPyfunc, true)
  })

  it('leaves an MLmodel that is there as it is', async () => {
    const text = 'flavors:\n  onnx:\n    data: model.onnx\nmine: true\n'
    await write({ 'model.onnx': 'graph', MLmodel: text })
    const { files } = await published(dir, 'mlflow:own')
    assert.deepEqual(
      files.map(({ path, bytes }) => [path, bytes]),
      [
        ['MLmodel', text.length],
        ['model.onnx', 5],
      ],
    )
  })

  it('registers no version when it is interrupted, and says that its run failed', async () => {
    await write({ 'model.onnx': 'graph', 'weights.bin': 'weights' })
    const { http, mlflow } = rig.connect(server.uri, { limits: PATIENT })
    const rules = { server: server.uri, allowed: [] }
    const interrupt = new AbortController()
    const reason = new Error('interrupted')
    const publishing = publishToMlflow(
      mlflow,
      new MlflowArtifacts(http, rules, systemClock),
      systemClock,
      {
        dir,
        name: 'halfway',
        aliases: ['champion'],
        rules,
        onProgress: ({ step }) => step === 'upload' && interrupt.abort(reason),
      },
      interrupt.signal,
    )
    await assert.rejects(publishing, reason)
    assert.deepEqual((await mlflow.searchVersions({ filter: "name='halfway'", limit: 10 })).versions, [])
    const experiment = await mlflow.experiment('modelmux')
    const answer = (await http.json({
      method: 'POST',
      path: 'mlflow/runs/search',
      body: { experiment_ids: [experiment], filter: "attributes.run_name = 'halfway'" },
    })) as { readonly runs: ReadonlyArray<{ readonly info: { readonly status: string } }> }
    assert.deepEqual(
      answer.runs.map(({ info }) => info.status),
      ['FAILED'],
    )
  })

  it('says with its exit code whether the server or the command line was wrong', async () => {
    await write({ 'model.onnx': 'graph' })
    const gone = await publish(dir, 'mlflow+http://127.0.0.1:1/churn')
    assert.deepEqual([gone.code, gone.stderr], [1, 'modelmux: MLflow does not answer: ECONNREFUSED\n'])
    for (const [place, ...more] of [
      ['mlflow+http://127.0.0.1:1'],
      ['mlflow+ftp://host/churn'],
      ['mlflow:'],
      ['mlflow:a/b'],
      ['mlflow:a%zz'],
      ['mlflow:a@b'],
      ['mlflow:churn', '--replace'],
      ['mlflow:churn', '--share-blobs'],
      ['mlflow:churn', '--alias', 'no/alias'],
    ] as const)
      assert.equal((await publish(dir, place, ...more)).code, 2, [place, ...more].join(' '))
    const nowhere = await runModelmux(['publish', dir, 'mlflow:churn'])
    assert.equal(nowhere.code, 2)
    assert.match(nowhere.stderr, /MLFLOW_TRACKING_URI: expected/)
  })
})

describe('publishing to an MLflow server whose artifacts lie in S3', { skip: noMlflowServer || noS3Server }, () => {
  it('puts the files there where that is allowed, and nowhere else', async (context) => {
    const s3 = await S3Server.start({ buckets: ['mlflow'] })
    context.after(() => s3.stop())
    const env = { ...s3.env, MLFLOW_S3_ENDPOINT_URL: s3.endpoint }
    const server = await MlflowServer.start({ root: 's3://mlflow/runs', env })
    context.after(() => server.stop())
    const dir = await mkdtemp(join(tmpdir(), 'modelmux-publish-'))
    context.after(() => rm(dir, { recursive: true, force: true }))
    await writeFile(join(dir, 'model.onnx'), 'graph')
    const args = ['publish', dir, `mlflow+${server.uri}/churn`]
    const refused = await runModelmux(args, { env })
    assert.deepEqual([refused.code, /bucket 'mlflow' are not allowed/.test(refused.stderr)], [1, true])
    assert.deepEqual(await s3.keys('mlflow'), [])
    const allowed = { ...env, MODELMUX_STORE_MLFLOW_ARTIFACTS: '["s3://mlflow/runs"]' }
    const done = await runModelmux(args, { env: allowed })
    assert.equal(done.code, 0, done.stderr)
    const names = (await s3.keys('mlflow')).map((key) => key.slice(key.lastIndexOf('/') + 1))
    assert.deepEqual(names.toSorted(), ['MLmodel', 'model.onnx'])
  })
})
