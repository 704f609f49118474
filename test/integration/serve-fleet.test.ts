/** Servers with cache folders of their own that share compiled models in a real bucket: who compiles, what travels, and what if it is wrong. */
import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { Customers } from '../support/customers.ts'
import { until } from '../support/eventually.ts'
import { noS3Server, S3Server } from '../support/s3-server.ts'
import { ServerProcess } from '../support/server-process.ts'

const BUCKET = 'fleet'

describe('servers that share compiled models', { skip: noS3Server }, () => {
  let s3: S3Server
  let customers: Customers
  let tests = 0
  let place = ''
  const running: ServerProcess[] = []

  before(async () => {
    s3 = await S3Server.start({ buckets: [BUCKET] })
    customers = await Customers.make(4)
  })
  after(async () => {
    await s3.stop()
    await customers.remove()
  })
  beforeEach(() => {
    place = `s3://${BUCKET}/test-${++tests}`
  })

  afterEach(async () => {
    for (const server of running.splice(0)) await server.stop()
  })

  /** A machine that was never here before. */
  async function machine(fleetCache: object = {}): Promise<ServerProcess> {
    const server = await ServerProcess.start({
      models: customers.folder.dir,
      config: {
        store: { settleMs: 0, s3: { endpoint: s3.endpoint, pathStyle: true } },
        artifact: { probe: false, fleetCache: { place, lookupMs: 60_000, deadlineMs: 60_000, ...fleetCache } },
      },
      args: ['--workers', '1'],
      env: s3.env,
    })
    running.push(server)
    await server.logs('registry.scanned')
    return server
  }

  async function compiles(server: ServerProcess): Promise<number> {
    return (await server.metrics()).get('modelmux_compiles_total{outcome="compiled"}') ?? 0
  }

  async function count(server: ServerProcess, metric: string): Promise<number> {
    return (await server.metrics()).get(`modelmux_fleet_cache_${metric}`) ?? 0
  }

  /** Has each of these compiled and sent by a machine that then goes away. */
  async function fill(...ones: readonly number[]): Promise<void> {
    const server = await machine()
    for (const one of ones) assert.equal(await customers.askRight(server, one), 'compile')
    await until('all is sent', async () => server.logged('fleet.sent').length === ones.length)
    assert.equal(await compiles(server), ones.length)
    await server.stop()
  }

  it('compile each model once among them, and bring only what is lacking', async () => {
    await fill(1, 2)
    const server = await machine()
    for (const one of [1, 2]) assert.equal(await customers.askRight(server, one), 'load')
    assert.equal(await compiles(server), 0)
    assert.equal(await count(server, 'lookups_total{outcome="hit"}'), 2)
    assert.equal(await count(server, 'bytes_total{direction="sent"}'), 0)
    assert.ok((await count(server, 'bytes_total{direction="fetched"}')) > 0)
  })

  it('compile themselves what does not arrive as it was sent, answer right, and mend it', async () => {
    await fill(1)
    const keys = await s3.keys(BUCKET, `test-${tests}/v1/artifacts/`)
    await s3.put(BUCKET, keys.find((key) => key.endsWith('/manifest.json')) ?? '', '{"format":1,"artifact":"../etc"}')
    const server = await machine()
    assert.equal(await customers.askRight(server, 1), 'compile')
    assert.equal((await server.logs('fleet.fetch-failed')).outcome, 'wrong')
    assert.equal(await count(server, 'lookups_total{outcome="wrong"}'), 1)
    await server.logs('fleet.sent')
    assert.equal(await customers.askRight(await machine(), 1), 'load')
  })

  it('compile themselves where a file in the bucket is cut short', async () => {
    await fill(1)
    const keys = await s3.keys(BUCKET, `test-${tests}/v1/artifacts/`)
    const graph = keys.find((key) => /[0-9a-f]{64}$/.test(key)) ?? ''
    await s3.put(BUCKET, graph, (await s3.bytes(BUCKET, graph)).subarray(1))
    const server = await machine()
    assert.equal(await customers.askRight(server, 1), 'compile')
    assert.equal(await count(server, 'lookups_total{outcome="wrong"}'), 1)
  })

  it('compile themselves when S3 is gone, leave it alone after a while, and fail no request', async () => {
    await s3.halt()
    try {
      const server = await machine({ retryMs: 600_000, mode: 'read' })
      for (const one of [1, 2, 3, 4]) assert.equal(await customers.askRight(server, one), 'compile')
      assert.equal(await count(server, 'lookups_total{outcome="unavailable"}'), 3)
      assert.equal(await count(server, 'lookups_total{outcome="skipped"}'), 1)
      await server.logs('fleet.left-alone')
    } finally {
      await s3.resume()
    }
  })

  it('send nothing when they are told only to read', async () => {
    const server = await machine({ mode: 'read' })
    await customers.askRight(server, 1)
    await server.stop()
    assert.deepEqual(await s3.keys(BUCKET, `test-${tests}/`), [])
  })
})
