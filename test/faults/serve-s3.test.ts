/** `modelmux serve --models s3://...` behind a network that fails: what clients see of it, and what a killed server leaves. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { Customers } from '../support/customers.ts'
import { until } from '../support/eventually.ts'
import { FaultProxy } from '../support/fault-proxy.ts'
import { noS3Server, S3Server } from '../support/s3-server.ts'
import { ServerProcess } from '../support/server-process.ts'

const BUCKET = 'models'
const REQUESTS = 1000
/** In the middle of the model file. */
const AT = 5000

describe('a server of models in S3', { skip: noS3Server }, () => {
  let s3: S3Server
  let customers: Customers
  let proxy: FaultProxy
  let cache: string
  const servers: ServerProcess[] = []
  before(async () => {
    s3 = await S3Server.start({ buckets: [BUCKET] })
    customers = await Customers.make(3, 'full')
    for (const one of [1, 2, 3]) await put(one)
  })
  after(async () => {
    await customers.remove()
    await s3.stop()
  })
  beforeEach(async () => {
    proxy = await FaultProxy.start(s3.endpoint)
    cache = await mkdtemp(join(tmpdir(), 'modelmux-s3-faults-'))
  })
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((server) => server.stop()))
    await proxy.close()
    await rm(cache, { recursive: true, force: true })
  })

  it('fetches a cold model once for a thousand that ask at once', async () => {
    const server = await serve()
    const answers = await Promise.all(Array.from({ length: REQUESTS }, () => customers.ask(server, 1)))
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
    await customers.askRight(server, 1)
    assert.equal(reads().length, 1)
    assert.equal(server.logged('source.fetched').length, 1)
  })

  it('answers right after a reset and after a byte that changed on the way', async () => {
    const server = await serve()
    proxy.order({ fault: { kind: 'reset', at: AT }, times: 1 })
    await customers.askRight(server, 1)
    assert.equal(reads().length, 2)
    proxy.order({ fault: { kind: 'flip', at: AT }, times: 1 })
    await customers.askRight(server, 2)
    assert.equal(server.logged('source.corrupt').length, 1)
  })

  it('keeps answering for a model that is here while another is refused at the store, which is asked once', async () => {
    const server = await serve()
    await customers.askRight(server, 1)
    const asked = reads().length
    proxy.order({ fault: { kind: 'answer', status: 403 }, when: ({ method }) => method === 'GET' })
    for (let time = 0; time < 3; time++) {
      const refused = await customers.ask(server, 2)
      assert.deepEqual([refused.status, refused.json.code], [424, 'ARTIFACT_UNREACHABLE'])
      assert.ok(Number(refused.headers['retry-after']) >= 20, String(refused.headers['retry-after']))
    }
    assert.equal(reads().length, asked + 1)
    assert.equal(await customers.askRight(server, 1), 'hit')
  })

  it('tells who will not wait how far a slow fetch is and when to come back, and is there by then', async () => {
    const server = await serve()
    proxy.bytesPerSecond = 15_000
    const patient = customers.ask(server, 1)
    await until('bytes come', async () => {
      const { status, json, headers } = await customers.ask(server, 1, ['x-modelmux-cold-start', 'refuse'])
      assert.deepEqual([status, json.code], [503, 'MODEL_LOADING'])
      assert.ok(Number(headers['retry-after']) > 0)
      return / of .* at .*\/s, \d+ s left/.test(String(json.error))
    })
    const rows = JSON.parse((await server.client.post('/v2/repository/index')).text) as Record<string, string>[]
    assert.match(String(rows.find(({ name }) => name === customers.nameOf(1))?.reason), /^fetching: .* of /)
    assert.equal((await patient).status, 200)
    assert.equal((await customers.ask(server, 1, ['x-modelmux-cold-start', 'refuse'])).status, 200)
    assert.equal(reads().length, 1)
  })

  it('serves what it was fetching when it was killed, and leaves no half of it', async () => {
    proxy.order({ fault: { kind: 'stall', at: AT } })
    const killed = await serve()
    const asked = customers.ask(killed, 1).catch(() => undefined)
    await until('it is fetching', () => reads().length === 1)
    assert.ok((await staged()).some((name) => name.endsWith('.part')))
    process.kill(killed.pid, 'SIGKILL')
    await asked
    proxy.heal()
    const server = await serve()
    assert.deepEqual(await staged(), [])
    await customers.askRight(server, 1)
    assert.equal((await staged()).filter((name) => name.endsWith('.part')).length, 0)
  })

  it('answers by the model that replaced another under its fetch, and never by a half of each', async () => {
    const { promise: isReplaced, resolve: goOn } = Promise.withResolvers<void>()
    proxy.order({ fault: { kind: 'reset', at: AT }, times: 1 })
    proxy.hold = ({ url }) => (isRead(url) && reads().length > 1 ? isReplaced : undefined)
    const server = await serve({ pollMs: 500 })
    const asked = customers.ask(server, 3)
    await until('its fetch broke off', () => reads().length > 1)
    await put(3, 2)
    goOn()
    const { status, json } = await asked
    assert.deepEqual([status, json.code], [503, 'MODEL_LOADING'])
    await until('the other one is known', async () => (await customers.ask(server, 3)).status === 200)
    await customers.askRight(server, 3, 2)
    await put(3)
  })

  it('is fetched once by two servers on one cache folder', async () => {
    const [one, two] = [await serve(), await serve()]
    assert.ok(one !== undefined && two !== undefined)
    await Promise.all([customers.askRight(one, 1), customers.askRight(two, 1)])
    assert.equal(reads().length, 1)
  })

  /** The model of one customer, or of another in its place. */
  async function put(one: number, by = one): Promise<void> {
    const file = join(customers.folder.path(customers.nameOf(by), '1'), 'model.onnx')
    await s3.putFile(BUCKET, `${customers.nameOf(one)}/1/model.onnx`, file)
  }

  async function serve({ pollMs = 30_000 } = {}): Promise<ServerProcess> {
    const server = await ServerProcess.start({
      models: `s3://${BUCKET}/`,
      cache,
      config: {
        store: { settleMs: 0, s3: { endpoint: proxy.url, pathStyle: true, pollMs } },
        scheduler: { maxLoadWaiters: REQUESTS, maxQueuedPerModel: 2 * REQUESTS },
        telemetry: { requestLogSample: 0 },
      },
      args: ['--workers', '1'],
      env: s3.env,
    })
    servers.push(server)
    await server.logs('registry.scanned')
    return server
  }

  function reads(): string[] {
    return proxy.seen.filter((request) => isRead(request) && request.startsWith('GET'))
  }

  function isRead(request: string | undefined): boolean {
    return request?.includes('model.onnx') === true
  }

  function staged(): Promise<string[]> {
    return readdir(join(cache, 'staging'))
  }
})
