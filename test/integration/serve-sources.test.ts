/** `modelmux serve` with several places of models: a folder, a tenant's prefix in S3, and a tenant whose store does not answer. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Rng } from '../../loadtest/models/index.ts'
import { addOne, identity } from '../../loadtest/models/special/index.ts'
import { until } from '../support/eventually.ts'
import { assertOutputs, infer } from '../support/infer-client.ts'
import { ModelsFolder } from '../support/models-folder.ts'
import { noS3Server, S3Server } from '../support/s3-server.ts'
import { ServerProcess } from '../support/server-process.ts'

const BUCKET = 'models'
const SOURCES = [
  { prefix: 'acme', models: `s3://${BUCKET}/live` },
  { prefix: 'bolt', models: 's3://no-such-bucket' },
]

describe('serving models from several places', { skip: noS3Server }, () => {
  let s3: S3Server
  let folder: ModelsFolder
  let inS3: ModelsFolder

  before(async () => {
    s3 = await S3Server.start({ buckets: [BUCKET] })
    folder = await ModelsFolder.make()
    inS3 = await ModelsFolder.make()
  })
  after(async () => {
    await s3.stop()
    await folder.removeAll()
    await inS3.removeAll()
  })

  function serve(cache: string): Promise<ServerProcess> {
    const s3Config = { endpoint: s3.endpoint, pathStyle: true, pollMs: 500 }
    return ServerProcess.start({
      models: folder.dir,
      cache,
      config: { store: { settleMs: 0, pollMs: 200, sources: SOURCES, s3: s3Config } },
      args: ['--workers', '1'],
      env: s3.env,
    })
  }

  async function publish(name: string): Promise<void> {
    const at = inS3.path(name, '1')
    for (const file of await readdir(at)) await s3.putFile(BUCKET, `live/${name}/1/${file}`, join(at, file))
  }

  it('takes each name from the place of its prefix, and lets one that is down harm no other', async (context) => {
    // The same model as an identity lies where it must not be taken from.
    await folder.write('fraud', '1', addOne().model)
    for (const name of ['acme/churn', 'acme/left', 'bolt/churn']) await folder.write(name, '1', identity('FP32').model)
    await inS3.write('acme/churn', '1', addOne().model)
    // Of these two, one is listed with what begins alike and passed over, the other is not even listed.
    for (const name of ['acmes/fraud', 'fraud']) await inS3.write(name, '1', identity('FP32').model)
    for (const name of ['acme/churn', 'acmes/fraud', 'fraud']) await publish(name)

    const cache = await mkdtemp(join(tmpdir(), 'modelmux-sources-'))
    const servers: ServerProcess[] = []
    context.after(async () => {
      await Promise.all(servers.map((one) => one.stop()))
      await rm(cache, { recursive: true, force: true })
    })
    const server = await serve(cache)
    servers.push(server)
    await server.logs('registry.scanned', ({ prefix }) => prefix === undefined)
    await server.logs('registry.scanned', ({ prefix }) => prefix === 'acme')
    await server.logs('registry.root_lost', ({ prefix }) => prefix === 'bolt')

    const inputs = addOne().inputs(new Rng('sources'), 2)
    for (const name of ['fraud', 'acme/churn'])
      assertOutputs(await infer(server.client, name, inputs), addOne().expected(inputs))
    const codes = async (name: string) => (await infer(server.client, name, inputs)).json.code
    // Before it is said not to be there, it is looked for.
    await until('S3 was asked for it', async () => (await codes('acme/left')) === 'MODEL_NOT_FOUND')
    assert.equal(await codes('bolt/churn'), 'REGISTRY_UNAVAILABLE')
    const { json } = await server.client.post('/v2/repository/index', '{}')
    assert.deepEqual(
      new Set(Object.values(json).map((row) => (row as { name: string }).name)),
      new Set(['fraud', 'acme/churn']),
    )

    const told = server.logged('registry.foreign_names').map(({ prefix, names }) => [prefix, names])
    assert.deepEqual(
      new Set(told),
      new Set([
        ['', 3],
        ['acme', 1],
      ]),
    )
    const metrics = await server.metrics()
    assert.equal(metrics.get('modelmux_models_registered'), 2)
    const age = (prefix: string) => metrics.get(`modelmux_registry_age_seconds{prefix="${prefix}"}`)
    assert.ok((age('') ?? -1) >= 0 && (age('acme') ?? -1) >= 0)
    assert.equal(age('bolt'), undefined)

    // What comes and goes is told and served although a place has never answered.
    await folder.write('late', '1', addOne().model)
    await server.logs('model.added', ({ key }) => String(key).startsWith('late:1'))
    await s3.halt()
    await server.logs('registry.root_lost', ({ prefix }) => prefix === 'acme')
    for (const name of ['late', 'acme/churn'])
      assertOutputs(await infer(server.client, name, inputs), addOne().expected(inputs))

    // Nor does a start wait for them: what was known and compiled is there.
    await server.stop()
    const second = await serve(cache)
    servers.push(second)
    await second.logs('registry.scanned', ({ prefix }) => prefix === undefined)
    for (const name of ['late', 'acme/churn'])
      assertOutputs(await infer(second.client, name, inputs), addOne().expected(inputs))
    assert.deepEqual(
      second.logged('registry.restored').map(({ prefix, models }) => [prefix, models]),
      [['acme', 2]],
    )
    assert.ok(((await second.metrics()).get('modelmux_registry_age_seconds{prefix="acme"}') ?? -1) > 0)
  })
})
