import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { modelClass, Rng } from '../../loadtest/models/index.ts'
import { slow, sumAndDifference } from '../../loadtest/models/special/index.ts'
import { until } from '../support/eventually.ts'
import type { Answer } from '../support/http-client.ts'
import { assertOutputs, infer } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import type { LogEvent } from '../support/server-process.ts'
import { ServerProcess } from '../support/server-process.ts'

const XS = modelClass('XS')
const rng = new Rng('serve answers')
/** Customer of each version of `acme/churn`. */
const CHURN = { 1: 1, 2: 2, 10: 3 } as const
type ChurnVersion = keyof typeof CHURN
/** Warm-up runs are part of a compile: they keep it busy long enough for others to come and wait. */
const SLOW_COMPILE = {
  warmUp: [{ inputs: [{ name: 'iterations', shape: [1], datatype: 'INT64', data: [6000] }] }],
}

let models: ModelsFolder
let server: ServerProcess

before(async () => {
  models = await ModelsFolder.make()
  for (const [version, customer] of Object.entries(CHURN)) await models.write('acme/churn', version, churn(customer))
  await models.aliases('acme/churn', { champion: '1', challenger: '2' })
  await models.write('beta/churn', '1', churn(7))
  await models.write('plain', '3', sumAndDifference().model)
  await models.write('eu west/groß/modell', '1', churn(9))
  for (const [name, domain] of Object.entries({ 'shared/a': 'a', 'shared/b': 'b' })) {
    // Equal bytes would be compiled once for both.
    await models.write(name, '1', { ...slow().model, opsets: { ...slow().model.opsets, [domain]: 1 } })
    await models.settings(name, SLOW_COMPILE)
  }
  server = await ServerProcess.start({
    models: models.dir,
    args: ['--workers', '2'],
    config: { store: { pollMs: 200, settleMs: 0 } },
  })
  await until('the folder is known', async () => (await names()).length === 6)
})

after(async () => {
  await server.stop()
  await models.removeAll()
})

describe('modelmux serve, as a client meets it', () => {
  it('says once where it listens, and nothing else on stdout', () => {
    assert.equal(server.stdout, `listening on ${server.url}\n`)
    assert.match(server.url, /^http:\/\/127\.0\.0\.1:[0-9]+$/)
  })

  for (const encoding of ['json', 'binary'] as const) {
    it(`answers in ${encoding} with the model's own numbers, for one row and for several`, async () => {
      for (const rows of [1, 3, 17]) {
        const inputs = XS.sampleInputs(rng, rows)
        const answer = await infer(server.client, 'beta/churn', inputs, { encoding })
        assertOutputs(answer, expected(7, inputs), XS.tolerance)
        const type = encoding === 'json' ? 'application/json' : 'application/octet-stream'
        assert.equal(answer.headers['content-type'], type)
      }
    })
  }

  it('serves a model of several inputs and outputs, and gives the outputs that are asked for in their order', async () => {
    const { inputs, expected: answersOf } = sumAndDifference()
    const tensors = inputs(rng, 2)
    assertOutputs(await infer(server.client, 'plain', tensors), answersOf(tensors))
    const [a, b] = tensors.map(({ name, shape, datatype, data }) => ({
      name,
      shape,
      datatype,
      data: [...(data as Float32Array)],
    }))
    const outputs = [{ name: 'difference' }, { name: 'sum' }]
    const body = JSON.stringify({ id: 'r-17', inputs: [b, a], outputs })
    const answer = await server.client.post('/v2/models/plain/infer', body)
    assertOutputs(answer, answersOf(tensors))
    assert.equal(answer.json.id, 'r-17')
    const given = answer.json.outputs as readonly { readonly name: string }[]
    assert.deepEqual(
      given.map(({ name }) => name),
      ['difference', 'sum'],
    )
  })

  const REFS: readonly (readonly [what: string, path: string, ref: string | undefined, version: ChurnVersion])[] = [
    ['a name in the path', '/v2/models/acme/churn/infer', undefined, 10],
    ['an encoded slash', '/v2/models/acme%2Fchurn/infer', undefined, 10],
    ['a version in the path', '/v2/models/acme/churn/versions/2/infer', undefined, 2],
    ['a name in the header', '/v2/infer', 'acme/churn', 10],
    ['a version in the header', '/v2/infer', 'acme/churn:1', 1],
    ['an alias in the header', '/v2/infer', 'acme/churn@champion', 1],
    ['another alias', '/v2/infer', 'acme/churn@challenger', 2],
    ['path and header that agree', '/v2/models/acme/churn/infer', 'acme/churn@challenger', 2],
  ]
  for (const [what, path, ref, version] of REFS) {
    for (const spelling of ref === undefined ? [''] : ['serve_multiplexed_model_id', 'Serve-Multiplexed-Model-Id']) {
      it(`finds the version by ${what}${spelling === '' ? '' : `, ${spelling}`}`, async () => {
        const inputs = XS.sampleInputs(rng, 2)
        const headers = ref === undefined ? [] : [spelling, ref]
        const answer = await infer(server.client, 'acme/churn', inputs, { path, headers })
        assertOutputs(answer, expected(CHURN[version], inputs), XS.tolerance)
        assert.equal(answer.headers['x-modelmux-model'], 'acme/churn')
        assert.equal(answer.headers['x-modelmux-version'], String(version))
        assert.deepEqual([answer.json.model_name, answer.json.model_version], ['acme/churn', String(version)])
      })
    }
  }

  it('serves names with blanks and letters of the world, percent-encoded where a URL or header needs it', async () => {
    const inputs = XS.sampleInputs(rng, 1)
    const name = 'eu west/groß/modell'
    const encoded = encodeURIComponent(name)
    for (const options of [{}, { path: '/v2/infer', headers: ['serve-multiplexed-model-id', encoded] }]) {
      const answer = await infer(server.client, encoded, inputs, options)
      assertOutputs(answer, expected(9, inputs), XS.tolerance)
      assert.equal(answer.json.model_name, name)
      assert.equal(decodeURIComponent(String(answer.headers['x-modelmux-model'])), name)
    }
  })

  it('gives two tenants that share a model name each their own answers, also when they ask together', async () => {
    const customers = new Map([
      ['acme/churn:1', 1],
      ['beta/churn:1', 7],
    ])
    await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const [ref, customer] = [...customers][i % 2] ?? assert.fail()
        const inputs = XS.sampleInputs(rng, 1 + (i % 3))
        const headers = ['serve-multiplexed-model-id', ref]
        const answer = await infer(server.client, '', inputs, { path: '/v2/infer', headers, encoding: 'binary' })
        assertOutputs(answer, expected(customer, inputs), XS.tolerance)
      }),
    )
  })

  it('tells the request id, the replica, and where the time went', async () => {
    const inputs = XS.sampleInputs(rng, 1)
    const headers = ['x-request-id', 'mine-1']
    const answer = await infer(server.client, 'beta/churn', inputs, { headers })
    assert.equal(answer.headers['x-request-id'], 'mine-1')
    assert.match(String(answer.headers['x-modelmux-replica']), /^replica-/)
    assert.deepEqual(phasesOf(answer), ['queue', 'decode', 'run', 'encode'])
    const line = await server.logs('request.done', ({ requestId }) => requestId === 'mine-1')
    assert.deepEqual([line.model, line.version, line.status, line.cache], ['beta/churn', '1', 200, 'hit'])
  })
})

describe('what the cache did', () => {
  it('is compile for the first request, hit for the next, load after an unload', async () => {
    await models.write('life/model', '1', churn(11))
    const inputs = XS.sampleInputs(rng, 1)
    const ask = async (outcome: string): Promise<Answer> => {
      const answer = await infer(server.client, 'life/model', inputs)
      assertOutputs(answer, expected(11, inputs), XS.tolerance)
      assert.equal(answer.headers['x-modelmux-cache'], outcome)
      return answer
    }
    await until('the model is known', async () => (await names()).includes('life/model'))
    const compiled = phasesOf(await ask('compile'))
    assert.deepEqual(compiled, ['fetch', 'compile', 'page', 'queue', 'open', 'decode', 'run', 'encode'])
    await ask('hit')
    assert.equal((await server.client.post('/v2/repository/models/life/model/unload')).status, 200)
    assert.deepEqual(phasesOf(await ask('load')), ['page', 'queue', 'open', 'decode', 'run', 'encode'])
    await ask('hit')
  })

  it('is hit for the first request after an ordered load', async () => {
    assert.equal((await server.client.post('/v2/repository/models/acme/churn/versions/2/unload')).status, 200)
    const loaded = await server.client.post('/v2/repository/models/acme/churn/versions/2/load')
    assert.deepEqual(loaded.json, { name: 'acme/churn', version: '2', load: true })
    const inputs = XS.sampleInputs(rng, 1)
    const answer = await infer(server.client, 'acme/churn/versions/2', inputs)
    assertOutputs(answer, expected(2, inputs), XS.tolerance)
    assert.equal(answer.headers['x-modelmux-cache'], 'hit')
  })

  it('is wait for those who join a load; one compile serves all', async () => {
    const inputs = slow().inputs(rng, 1)
    const first = infer(server.client, 'shared/a', inputs)
    await loading('shared/a')
    const others = Array.from({ length: 8 }, () => infer(server.client, 'shared/a', inputs))
    const answers = await Promise.all([first, ...others])
    for (const answer of answers) assertOutputs(answer, slow().expected(inputs))
    const outcomes = answers.map(({ headers }) => headers['x-modelmux-cache'])
    assert.deepEqual(outcomes, ['compile', ...others.map(() => 'wait')])
    assert.equal(await compilesOf('shared/a'), 1)
  })

  it('goes on for the others when the client that began a load leaves', async () => {
    const inputs = slow().inputs(rng, 1)
    const leaver = new AbortController()
    const left = infer(server.client, 'shared/b', inputs, { signal: leaver.signal })
    const leaving = assert.rejects(left, { name: 'AbortError' })
    await loading('shared/b')
    const joiner = infer(server.client, 'shared/b', inputs)
    leaver.abort()
    await leaving
    const answer = await joiner
    assertOutputs(answer, slow().expected(inputs))
    assert.equal(answer.headers['x-modelmux-cache'], 'wait')
    assert.equal(await compilesOf('shared/b'), 1)
    const line = await server.logs('request.refused', ({ status }) => status === 499)
    assert.equal(line.code, 'CLIENT_GONE')
  })
})

describe('what a client can ask about models', () => {
  it('is alive and ready, and says what it is', async () => {
    for (const path of ['/livez', '/v2/health/live'])
      assert.deepEqual((await server.client.get(path)).json, { live: true })
    for (const path of ['/readyz', '/v2/health/ready'])
      assert.deepEqual((await server.client.get(path)).json, { ready: true })
    const { json } = await server.client.get('/v2')
    assert.equal(json.name, 'modelmux')
    assert.ok((json.extensions as string[]).includes('binary_tensor_data'))
  })

  it('describes a model by its signature, versions and aliases', async () => {
    for (const path of ['/v2/models/acme/churn', '/v2/models/acme%2Fchurn/versions/10']) {
      assert.deepEqual((await server.client.get(path)).json, {
        name: 'acme/churn',
        versions: ['1', '2', '10'],
        platform: 'onnxruntime_onnx',
        inputs: [{ name: 'features', datatype: 'FP32', shape: [-1, 64] }],
        outputs: [{ name: 'scores', datatype: 'FP32', shape: [-1, 8] }],
        properties: propertiesOf((await server.client.get(path)).json),
      })
    }
    const { properties } = (await server.client.get('/v2/models/acme/churn')).json
    const { version, 'alias.champion': champion, 'alias.challenger': challenger } = properties as Record<string, string>
    assert.deepEqual([version, champion, challenger], ['10', '1', '2'])
  })

  it('calls a model ready that it can serve on demand, and compiles nothing for the question', async () => {
    await models.write('never/asked', '1', churn(12))
    await until('the model is known', async () => (await names()).includes('never/asked'))
    const ready = await server.client.get('/v2/models/never/asked/ready')
    assert.deepEqual([ready.status, ready.json.ready], [200, true])
    assert.equal((await server.client.get('/v2/models/never/asked')).status, 200)
    assert.deepEqual(await rowOf('never/asked'), {
      name: 'never/asked',
      version: '1',
      state: 'UNAVAILABLE',
      reason: '',
    })
  })

  it('lists the repository, all of it or what is ready', async () => {
    await infer(server.client, 'beta/churn', XS.sampleInputs(rng, 1))
    const all = JSON.parse((await server.client.post('/v2/repository/index')).text) as Record<string, string>[]
    const stateOf = (name: string): string | undefined => all.find((row) => row.name === name)?.state
    assert.equal(stateOf('beta/churn'), 'READY')
    assert.deepEqual(
      all.filter((row) => row.name === 'acme/churn').map((row) => row.version),
      ['1', '2', '10'],
    )
    const ready = JSON.parse((await server.client.post('/v2/repository/index', '{"ready":true}')).text) as object[]
    assert.deepEqual(
      ready,
      all.filter((row) => row.state === 'READY'),
    )
  })

  it('counts rows and executions in the statistics', async () => {
    const stats = async (): Promise<Record<string, unknown>> => {
      const { json } = await server.client.get('/v2/models/plain/versions/3/stats')
      return (json.model_stats as Record<string, unknown>[])[0] ?? assert.fail()
    }
    const tensors = sumAndDifference().inputs(rng, 4)
    // Until it was found out whether rows are independent, a request counts as one.
    assertOutputs(await infer(server.client, 'plain', tensors), sumAndDifference().expected(tensors))
    await until('the model is probed', async () => {
      const { properties } = (await server.client.get('/v2/models/plain')).json
      return (properties as Record<string, string>).batch_safe === 'true'
    })
    const before = await stats()
    await infer(server.client, 'plain', tensors)
    const after = await stats()
    assert.equal(Number(after.inference_count) - Number(before.inference_count), 4)
    assert.equal(Number(after.execution_count) - Number(before.execution_count), 1)
    assert.equal(after.version, '3')
  })
})

function churn(customer: number) {
  return XS.build({ customer, family: 'head', seed: 1 })
}

function expected(customer: number, inputs: ReturnType<typeof XS.sampleInputs>) {
  return XS.expected({ customer, family: 'head', seed: 1 }, inputs)
}

async function names(): Promise<readonly string[]> {
  return (await server.client.get('/v2/models')).json.models as string[]
}

function propertiesOf(json: Readonly<Record<string, unknown>>): unknown {
  return json.properties
}

/** Resolves while the model is being compiled. */
async function loading(name: string): Promise<void> {
  await until(`${name} compiles`, async () => (await rowOf(name))?.reason === 'compiling')
}

/** The model's row in the index of the repository. */
async function rowOf(name: string): Promise<Readonly<Record<string, string>> | undefined> {
  const rows = JSON.parse((await server.client.post('/v2/repository/index')).text) as Record<string, string>[]
  return rows.find((row) => row.name === name)
}

/** Loads of a model that were logged, one at least. */
async function compilesOf(name: string): Promise<number> {
  const isOfModel = ({ key }: LogEvent): boolean => String(key).startsWith(`${name}:`)
  await server.logs('model.loaded', isOfModel)
  return server.logged('artifact.compiled').filter(isOfModel).length
}

/** Names of the phases in Server-Timing; asserts that each has a duration. */
function phasesOf({ headers }: Answer): string[] {
  return String(headers['server-timing'])
    .split(', ')
    .map((part) => {
      const [, name = '', ms] = /^([a-z]+);dur=([0-9.]+)$/.exec(part) ?? assert.fail(part)
      assert.ok(Number(ms) >= 0)
      return name
    })
}
