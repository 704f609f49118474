/** `modelmux serve --models mlflow+http://...` with an MLflow that lies, fails or is slow, and with versions that are not what they should be. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { digestTag } from '../../src/domain/mlflow-tags.ts'
import { until } from '../support/eventually.ts'
import { FaultProxy } from '../support/fault-proxy.ts'
import { MlflowCustomers } from '../support/mlflow-customers.ts'
import { type Files, MlflowPublisher } from '../support/mlflow-publisher.ts'
import { MlflowServer, noMlflowServer } from '../support/mlflow-server.ts'
import { sha256Of } from '../support/object-server.ts'
import { ServerProcess } from '../support/server-process.ts'

const HOSTILE = [
  'file:///etc',
  'http://169.254.169.254/latest/meta-data',
  's3://another-bucket/model',
  'mlflow-artifacts:/1/../../secret',
  'mlflow-artifacts://169.254.169.254/latest',
  'dbfs:/secret',
]
/** Far longer than any request waits. */
const FOR_EVER_MS = 600_000

describe('a server of models in MLflow', { skip: noMlflowServer }, () => {
  let mlflow: MlflowServer
  let customers: MlflowCustomers
  let publisher: MlflowPublisher
  let files: Files
  let proxy: FaultProxy
  let cache: string
  const servers: ServerProcess[] = []

  before(async () => {
    mlflow = await MlflowServer.start()
    customers = await MlflowCustomers.at(mlflow)
    publisher = new MlflowPublisher(mlflow.uri)
    await customers.log([{ customer: 1, name: 'churn', aliases: ['champion'], example: customers.example() }])
    files = await publisher.filesOf('churn', '1')
  })
  after(async () => {
    await publisher?.close()
    await customers?.remove()
    await mlflow?.stop()
  })
  beforeEach(async () => {
    proxy = await FaultProxy.start(mlflow.uri)
    cache = await mkdtemp(join(tmpdir(), 'modelmux-mlflow-faults-'))
  })
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((server) => server.stop()))
    await proxy.close()
    await rm(cache, { recursive: true, force: true })
  })

  it('asks nobody for files at a place that is not allowed, and does not say where that was', async () => {
    for (const index of HOSTILE.keys()) await publisher.publish(`hostile-${index}`, { MLmodel: '' })
    for (const [index, uri] of HOSTILE.entries())
      proxy.order({
        fault: { kind: 'answer', status: 200, body: JSON.stringify({ artifact_uri: uri }) },
        when: ({ url }) => url?.includes(`get-download-uri?name=hostile-${index}`) === true,
      })
    const server = await serve()
    for (const [index, uri] of HOSTILE.entries()) {
      const refused = await customers.ask(server, `hostile-${index}`)
      assert.deepEqual([refused.status, refused.json.code], [424, 'ARTIFACT_UNREACHABLE'], uri)
      assert.ok(Number(refused.headers['retry-after']) >= 20)
      assert.ok(!/169\.254|\/etc|latest|secret/.test(refused.text), refused.text)
      // Remembered: nobody is asked again.
      assert.equal((await customers.ask(server, `hostile-${index}`)).status, 424)
    }
    assert.equal(asked(/get-download-uri/), HOSTILE.length)
    assert.equal(asked(/mlflow-artifacts/), 0)
  })

  it('asks once for what MLflow does not let it have, or does not have, and serves the others meanwhile', async () => {
    await publisher.publish('forbidden', files)
    await publisher.publish('missing', files)
    for (const [name, status, code] of [
      ['forbidden', 403, 'PERMISSION_DENIED'],
      ['missing', 404, 'RESOURCE_DOES_NOT_EXIST'],
    ] as const)
      proxy.order({
        fault: { kind: 'answer', status, body: JSON.stringify({ error_code: code, message: 'remote words' }) },
        when: ({ url }) => url?.includes(`get-download-uri?name=${name}`) === true,
      })
    const server = await serve()
    for (const name of ['forbidden', 'missing'])
      for (let time = 0; time < 2; time++) {
        const refused = await customers.ask(server, name)
        assert.deepEqual([refused.status, refused.json.code], [424, 'ARTIFACT_UNREACHABLE'])
        assert.ok(Number(refused.headers['retry-after']) >= 20)
        assert.ok(!refused.text.includes('remote words'))
      }
    assert.equal(asked(/get-download-uri/), 2)
    await customers.askRight(server, 'churn', 1)
  })

  it('reads a folder of this machine where that is allowed, and links out of it nowhere', async () => {
    const root = await mkdtemp(join(tmpdir(), 'modelmux-mlflow-folder-'))
    try {
      for (const [path, content] of Object.entries(files)) {
        await mkdir(dirname(join(root, 'model', path)), { recursive: true })
        await writeFile(join(root, 'model', path), content)
      }
      await symlink(tmpdir(), join(root, 'out'))
      for (const name of ['model', 'out']) {
        await publisher.publish(`local-${name}`, { MLmodel: '' })
        proxy.order({
          fault: { kind: 'answer', status: 200, body: JSON.stringify({ artifact_uri: `file://${join(root, name)}` }) },
          when: ({ url }) => url?.includes(`get-download-uri?name=local-${name}`) === true,
        })
      }
      const server = await serve([`file://${root}`])
      await customers.askRight(server, 'local-model', 1)
      const refused = await customers.ask(server, 'local-out')
      assert.deepEqual([refused.status, refused.json.code], [424, 'ARTIFACT_UNREACHABLE'])
    } finally {
      await rm(root, { recursive: true, force: true })
    }
  })

  it('follows no redirect of a file to an address of its own network', async () => {
    proxy.order({
      fault: { kind: 'answer', status: 302, headers: { location: 'http://169.254.169.254/latest/meta-data' } },
      when: ({ url }) => url?.endsWith('/model.onnx') === true && !url.includes('presigned'),
    })
    const server = await serve()
    const refused = await customers.ask(server, 'churn')
    assert.deepEqual([refused.status, refused.json.code], [424, 'ARTIFACT_UNREACHABLE'])
    assert.ok(!refused.text.includes('169.254'), refused.text)
  })

  it('refuses a model of another flavor by name, before it fetches its files, and a file that is no MLmodel', async () => {
    const flavors = 'flavors:\n  python_function:\n    loader_module: evil\n  sklearn:\n    pickled_model: model.pkl\n'
    await publisher.publish('pickled', { MLmodel: flavors, 'model.pkl': 'cos\nsystem\n', 'model.onnx': 'x' })
    await publisher.publish('tagged-yaml', { ...files, MLmodel: 'flavors: !!python/object/apply:os.system [id]\n' })
    await publisher.publish('elsewhere', { ...files, MLmodel: 'flavors:\n  onnx:\n    data: ../../../etc/passwd\n' })
    await publisher.publish('bare', { 'notes.txt': 'nothing here' })
    const server = await serve()
    for (const [name, problem] of [
      ['pickled', /only models with MLflow's onnx flavor are served; it was saved as 'python_function', 'sklearn'/],
      ['tagged-yaml', /its MLmodel is no plain YAML/],
      ['elsewhere', /it has no '\.\.\/\.\.\/\.\.\/etc\/passwd'/],
      ['bare', /it has neither MLmodel nor model\.onnx/],
    ] as const) {
      const refused = await customers.ask(server, name)
      assert.deepEqual([refused.status, refused.json.code], [422, 'ARTIFACT_INVALID'], name)
      assert.match(String(refused.json.error), problem)
    }
    assert.equal(asked(/GET .*mlflow-artifacts\/artifacts\/.*MLmodel/), 3)
    assert.equal(asked(/GET .*(model\.pkl|\.onnx|\.data)/), 0)
  })

  it('serves a model without its example when that is broken or fits no input, and says so', async () => {
    await publisher.publish('broken-example', { ...files, 'serving_input_example.json': '{"inputs": [[1,' })
    await publisher.publish('other-example', { ...files, 'serving_input_example.json': '{"inputs": {"wrong": [1]}}' })
    const server = await serve()
    await customers.askRight(server, 'broken-example', 1)
    const ignored = await server.logs('model.example-ignored')
    assert.match(String(ignored.key), /^broken-example:1#/)
    await customers.askRight(server, 'other-example', 1)
    const failed = await server.logs('model.warm-up-failed')
    assert.match(String(failed.key), /^other-example:1#/)
  })

  it('fetches a file again whose bytes are not those of its digest, and never runs them', async () => {
    const digests = Object.entries(files).map(([path, content]) => [digestTag(path), sha256Of(Buffer.from(content))])
    await publisher.publish('flipped', files, Object.fromEntries(digests) as Record<string, string>)
    proxy.order({ fault: { kind: 'flip', at: 20 }, times: 1, when: ({ url }) => url?.endsWith('.onnx') === true })
    const server = await serve()
    await customers.askRight(server, 'flipped', 1)
    assert.equal((await server.logs('source.fetched')).integrity, 'sha256')
    assert.equal(server.logged('source.corrupt').length, 1)
  })

  it('keeps the version of an alias that is said to name one that is not there', async () => {
    const server = await serve()
    await customers.askRight(server, 'churn@champion', 1)
    const aliases = [{ alias: 'champion', version: '9' }]
    proxy.order({
      fault: { kind: 'answer', status: 200, body: JSON.stringify({ registered_models: [{ name: 'churn', aliases }] }) },
      when: ({ url }) => url?.includes('registered-models/search') === true,
    })
    const { path, problem } = await server.logs('registry.model_problem')
    assert.deepEqual([path, problem], ['churn/@champion', 'it names version 9, which is not there; 1 stays served'])
    const answer = await customers.askRight(server, 'churn@champion', 1)
    assert.deepEqual([answer.headers['x-modelmux-version'], answer.headers['x-modelmux-cache']], ['1', 'hit'])
  })

  it('keeps answering while MLflow answers 500, says how old its knowledge is, and tells of new names when to come back', async () => {
    const server = await serve()
    await customers.askRight(server, 'churn', 1)
    proxy.order({ fault: { kind: 'answer', status: 500, body: '<html>secret-of-a-proxy</html>' } })
    assert.match(String((await server.logs('registry.root_lost')).reason), /MLflow answered 500/)
    assert.equal((await customers.askRight(server, 'churn', 1)).headers['x-modelmux-cache'], 'hit')
    const unknown = await customers.ask(server, 'new')
    assert.deepEqual([unknown.status, unknown.json.code], [503, 'REGISTRY_UNAVAILABLE'])
    assert.ok(Number(unknown.headers['retry-after']) > 0)
    assert.ok(!unknown.text.includes('secret-of-a-proxy'))
    proxy.heal()
    await server.logs('registry.root_found')
  })

  it('lets no request wait for an MLflow that is slow', async () => {
    const server = await serve()
    await customers.askRight(server, 'churn', 1)
    const before = proxy.seen.length
    proxy.latencyMs = FOR_EVER_MS
    await until('MLflow was asked', () => proxy.seen.length > before)
    assert.equal((await customers.askRight(server, 'churn', 1)).headers['x-modelmux-cache'], 'hit')
    const unknown = await customers.ask(server, 'new')
    assert.deepEqual([unknown.status, unknown.json.code], [503, 'MODEL_LOADING'])
  })

  async function serve(artifacts: readonly string[] = []): Promise<ServerProcess> {
    const server = await ServerProcess.start({
      models: `mlflow+${proxy.url}`,
      cache,
      config: { store: { mlflow: { pollMs: 500, artifacts } } },
      args: ['--workers', '1'],
    })
    servers.push(server)
    await server.logs('registry.scanned')
    return server
  }

  function asked(what: RegExp): number {
    return proxy.seen.filter((request) => what.test(request)).length
  }
})
