/** S3 whose name nobody can resolve for a while: the name server fails, the store is as well as ever. */
import assert from 'node:assert/strict'
import dns from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'
import { after, before, describe, it, mock } from 'node:test'
import { s3Reader } from '../../src/app/s3-access.ts'
import { S3 } from '../../src/clients/s3.ts'
import type { ModelVersion } from '../../src/domain/model-version.ts'
import { s3Location } from '../../src/domain/s3-uri.ts'
import { type Clock, systemClock } from '../../src/lib/clock.ts'
import type { RemoteStore } from '../../src/store/remote-store.ts'
import { FaultProxy } from '../support/fault-proxy.ts'
import { content, FetchScene } from '../support/fetch-scene.ts'
import { modelVersion } from '../support/model-version.ts'
import { noS3Server, S3Server } from '../support/s3-server.ts'

const BUCKET = 'models'
const HOST = 'store.test'
const BYTES = 300_000
const KEPT_MS = 60_000

describe('a fetch from an S3 whose name cannot be resolved', { skip: noS3Server }, () => {
  const model = content(BYTES)
  let server: S3Server
  let proxy: FaultProxy
  let scene: FetchScene
  let s3: S3
  let store: RemoteStore
  let isNameServerDown = false
  let passedMs = 0
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + passedMs }
  const lookup = dns.lookup
  before(async () => {
    server = await S3Server.start({ buckets: [BUCKET] })
    Object.assign(process.env, server.env)
    proxy = await FaultProxy.start(server.endpoint)
    scene = await FetchScene.set()
    mock.method(dns, 'lookup', (host: string, options: dns.LookupAllOptions, done: LookupDone) => {
      if (host !== HOST) lookup(host, options, done)
      else if (isNameServerDown) done(Object.assign(new Error('the name server is down'), { code: 'EAI_AGAIN' }), [])
      else lookup('127.0.0.1', options, done)
    })
    syncBuiltinESMExports()
    s3 = new S3({
      endpoint: `http://${HOST}:${new URL(proxy.url).port}`,
      region: null,
      pathStyle: true,
      attempts: 1,
      connectTimeoutMs: 5000,
      answerTimeoutMs: 20_000,
      clock,
      // So that a broken connection leaves none that is still open.
      maxConnections: 1,
    })
    store = await scene.store({ reader: s3Reader(s3), limits: { parallel: 1, idleMs: 10_000 } })
  })
  after(async () => {
    await scene[Symbol.asyncDispose]()
    s3.close()
    mock.restoreAll()
    syncBuiltinESMExports()
    await proxy.close()
    await server.stop()
  })

  it('goes on at the address of the last minute, then says that the store is away, and goes on when its name is back', async () => {
    await arrives(await put('known'))
    isNameServerDown = true
    proxy.order({ fault: { kind: 'reset', at: 1000 }, times: 1 })
    await arrives(await put('kept'))

    passedMs = KEPT_MS
    const late = await put('late')
    proxy.order({ fault: { kind: 'reset', at: 1000 }, times: 1 })
    await assert.rejects(store.stage(late), { code: 'STORE_UNAVAILABLE' })
    isNameServerDown = false
    await arrives(late)
  })

  async function put(name: string): Promise<ModelVersion> {
    const key = `${name}/1/model.onnx`
    const { etag } = await server.put(BUCKET, key, model)
    const file = { path: 'model.onnx', bytes: BYTES, location: s3Location(BUCKET, key), etag }
    return scene.resolve(modelVersion(name), [file])
  }

  async function arrives(version: ModelVersion): Promise<void> {
    const staged = await store.stage(version)
    assert.equal(staged.bytes, BYTES)
    staged.release()
  }
})

type LookupDone = (error: NodeJS.ErrnoException | null, addresses: dns.LookupAddress[]) => void
