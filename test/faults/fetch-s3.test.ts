/** A fetch from a real S3 server, through the client that a server uses, with a proxy between them that does what networks do. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { s3Reader } from '../../src/app/s3-access.ts'
import { S3 } from '../../src/clients/s3.ts'
import type { ModelVersion } from '../../src/domain/model-version.ts'
import type { RemoteFile } from '../../src/domain/remote-source.ts'
import { s3Location } from '../../src/domain/s3-uri.ts'
import { systemClock } from '../../src/lib/clock.ts'
import type { ObjectReader } from '../../src/store/object-reader.ts'
import type { RemoteStore } from '../../src/store/remote-store.ts'
import { until } from '../support/eventually.ts'
import { FaultProxy } from '../support/fault-proxy.ts'
import { content, FetchScene } from '../support/fetch-scene.ts'
import { modelVersion } from '../support/model-version.ts'
import { sha256Of } from '../support/object-server.ts'
import { noS3Server, S3Server } from '../support/s3-server.ts'

const BUCKET = 'models'
const VERSIONED = 'models-kept'
const RANGE = 64 * 1024
const BYTES = 10 * RANGE + 1234
/** In the middle of the third range. */
const AT = 2 * RANGE + 777

describe('a fetch from S3', { skip: noS3Server }, () => {
  let server: S3Server
  let proxy: FaultProxy
  let scene: FetchScene
  let s3: S3
  let model: Buffer
  before(async () => {
    server = await S3Server.start({ buckets: [BUCKET], versioned: [VERSIONED] })
    Object.assign(process.env, server.env)
  })
  after(() => server.stop())
  beforeEach(async () => {
    scene = await FetchScene.set()
    proxy = await FaultProxy.start(server.endpoint)
    s3 = clientOf(proxy.url)
    model = content(BYTES)
  })
  afterEach(async () => {
    await scene[Symbol.asyncDispose]()
    s3.close()
    await proxy.close()
  })

  for (const kind of ['stall', 'reset', 'short'] as const) {
    it(`goes on after a ${kind}`, async () => {
      proxy.order({ fault: { kind, at: AT }, times: 1 })
      await arrives(await storeOf(s3Reader(s3)), await put(BUCKET))
      // Of an answer whose length is not the range's, nothing is taken.
      const from = kind === 'short' ? 2 * RANGE : AT
      const reads = proxy.seen.filter((request) => request.endsWith(` bytes=${from}-${3 * RANGE - 1}`))
      assert.equal(reads.length, kind === 'short' ? 2 : 1, proxy.seen.join('\n'))
    })
  }

  it('sees one other byte by the digest that its publisher noted, and by the one that S3 keeps', async () => {
    const noted = await put(BUCKET, (file) => ({ ...file, sha256: sha256Of(model) }))
    proxy.order({ fault: { kind: 'flip', at: AT }, times: 1 })
    await arrives(await storeOf(s3Reader(s3)), noted)
    assert.equal((await scene.record(noted)).integrity, 'sha256')

    await server.put(BUCKET, 'churn/1/model.onnx', model, { checksum: 'CRC64NVME' })
    const { etag, crc64nvme } = await s3.head({ bucket: BUCKET, key: 'churn/1/model.onnx' })
    assert.ok(crc64nvme !== undefined)
    const kept = scene.resolve(modelVersion('kept'), [{ ...fileOf(BUCKET), etag, crc64nvme }])
    proxy.order({ fault: { kind: 'flip', at: AT }, times: 1 })
    await arrives(await storeOf(s3Reader(s3)), kept)
    assert.equal((await scene.record(kept)).integrity, 'crc64nvme')
    assert.equal(scene.eventsOf('source.corrupt').length, 2)

    // What the SDKs of other languages send unless told otherwise.
    await server.put(BUCKET, 'churn/1/model.onnx', model, { checksum: 'CRC32' })
    const usual = await s3.head({ bucket: BUCKET, key: 'churn/1/model.onnx' })
    assert.ok(usual.crc32 !== undefined && usual.crc64nvme === undefined)
    const found = scene.resolve(modelVersion('usual'), [{ ...fileOf(BUCKET), etag: usual.etag, crc32: usual.crc32 }])
    proxy.order({ fault: { kind: 'flip', at: AT }, times: 1 })
    await arrives(await storeOf(s3Reader(s3)), found)
    assert.equal((await scene.record(found)).integrity, 'crc32')
    assert.equal(scene.eventsOf('source.corrupt').length, 3)
  })

  it('leaves it to the registry when the object is replaced under it', async () => {
    const version = await put(BUCKET)
    const store = await storeOf(replacing(BUCKET))
    await assert.rejects(store.stage(version), { code: 'MODEL_LOADING' })
  })

  it('gets the version that it wants of a bucket that keeps them, also when it is replaced under it', async () => {
    const { versionId } = await server.put(VERSIONED, 'churn/1/model.onnx', model)
    assert.ok(versionId !== undefined)
    const version = scene.resolve(modelVersion('churn'), [{ ...fileOf(VERSIONED), versionId }])
    await arrives(await storeOf(replacing(VERSIONED)), version)
  })

  it('outlives a store that asks to slow down', async () => {
    const body = '<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>'
    proxy.order({ fault: { kind: 'answer', status: 503, body }, times: 12 })
    await arrives(await storeOf(s3Reader(s3)), await put(BUCKET))
  })

  for (const [what, status, headers] of [
    ['an address of this machine', 301, { location: 'http://169.254.169.254/latest/meta-data/' }],
    ['another region', 307, { location: 'http://169.254.169.254/', 'x-amz-bucket-region': 'eu-test-2' }],
  ] as const) {
    it(`does not follow a redirect to ${what}`, async () => {
      const version = await put(BUCKET)
      proxy.order({ fault: { kind: 'answer', status, headers } })
      const store = await storeOf(s3Reader(s3))
      await assert.rejects(store.stage(version), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'ARTIFACT_UNREACHABLE', error.message)
        assert.doesNotMatch(error.message, /169\.254/)
        return true
      })
    })
  }

  it('says that an object is gone, and that nobody has the name of the server', async () => {
    const version = await put(BUCKET)
    await server.remove(BUCKET, 'churn/1/model.onnx')
    await assert.rejects((await storeOf(s3Reader(s3))).stage(version), { code: 'ARTIFACT_UNREACHABLE' })
    const nowhere = clientOf('http://store.invalid:9000')
    const other = scene.resolve(modelVersion('other'), [{ ...fileOf(BUCKET), etag: '"x"' }])
    await assert.rejects((await storeOf(s3Reader(nowhere))).stage(other), { code: 'STORE_UNAVAILABLE' })
    nowhere.close()
  })

  it('goes on when the server comes back', async () => {
    const version = await put(BUCKET)
    await server.halt()
    const store = await storeOf(s3Reader(s3))
    await assert.rejects(store.stage(version), { code: 'STORE_UNAVAILABLE' })
    await server.resume()
    await arrives(store, version)
  })

  it('asks S3 for nothing when the source is here', async () => {
    const version = await put(BUCKET)
    await arrives(await storeOf(s3Reader(s3)), version)
    await server.halt()
    await arrives(await storeOf(s3Reader(s3)), version)
    await server.resume()
  })

  function storeOf(reader: ObjectReader): Promise<RemoteStore> {
    return scene.store({ reader })
  }

  /** What lies at the key is another object from the ninth read on. */
  function replacing(bucket: string): ObjectReader {
    const honest = s3Reader(s3)
    let reads = 0
    return {
      ranges: true,
      async read(...args) {
        if (++reads === 9) await server.put(bucket, 'churn/1/model.onnx', content(BYTES))
        return await honest.read(...args)
      },
    }
  }

  function fileOf(bucket: string): RemoteFile {
    return { path: 'model.onnx', bytes: BYTES, location: s3Location(bucket, 'churn/1/model.onnx') }
  }

  async function put(bucket: string, known = (file: RemoteFile) => file): Promise<ModelVersion> {
    const { etag } = await server.put(bucket, 'churn/1/model.onnx', model)
    return scene.resolve(modelVersion('churn'), [known({ ...fileOf(bucket), etag })])
  }

  async function arrives(store: RemoteStore, wanted: ModelVersion): Promise<void> {
    const staged = await store.stage(wanted)
    assert.ok((await readFile(join(staged.dir, 'model.onnx'))).equals(model), 'other bytes arrived')
    staged.release()
    await until('it is let go', async () => !(await scene.staged()).includes(`${wanted.sourceId}.lock`))
  }
})

function clientOf(endpoint: string): S3 {
  return new S3({
    endpoint,
    region: null,
    pathStyle: true,
    attempts: 1,
    connectTimeoutMs: 5000,
    answerTimeoutMs: 20_000,
    clock: systemClock,
    maxConnections: 32,
  })
}
