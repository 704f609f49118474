/** What networks and stores do to a fetch, through a proxy before a real server of objects. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { type ErrorCode, GatewayError } from '../../src/domain/errors.ts'
import type { ModelVersion } from '../../src/domain/model-version.ts'
import { pause, systemClock } from '../../src/lib/clock.ts'
import type { ObjectReader } from '../../src/store/object-reader.ts'
import type { RemoteStore } from '../../src/store/remote-store.ts'
import { until } from '../support/eventually.ts'
import type { Fault } from '../support/fault-proxy.ts'
import { content, FetchScene } from '../support/fetch-scene.ts'
import { httpReader } from '../support/object-server.ts'

const RANGE = 64 * 1024
const BYTES = 10 * RANGE + 1234
/** In the middle of the third range. */
const AT = 2 * RANGE + 777

describe('a fetch', () => {
  let scene: FetchScene
  let model: Buffer
  let version: ModelVersion
  beforeEach(async () => {
    scene = await FetchScene.set()
    model = content(BYTES)
    version = scene.publish('churn', { 'model.onnx': model })
  })
  afterEach(() => scene[Symbol.asyncDispose]())

  for (const kind of ['stall', 'reset', 'short'] as const) {
    it(`goes on at the byte after a ${kind}`, async () => {
      scene.proxy.order({ fault: { kind, at: AT }, times: 1 })
      await arrives(await scene.store(), version)
      const resumed = `GET /churn/1/model.onnx bytes=${AT}-${3 * RANGE - 1}`
      assert.ok(scene.proxy.seen.includes(resumed), `expected ${resumed} among ${scene.proxy.seen.join(', ')}`)
    })

    it(`begins the object again after a ${kind} where the store has no ranges`, async () => {
      scene.proxy.order({ fault: { kind, at: AT }, times: 1 })
      await arrives(await scene.store({ reader: httpReader(scene.proxy.url, false) }), version)
      assert.equal(scene.proxy.seen.length, 2)
    })
  }

  it('begins the object again where nothing pins it', async () => {
    version = scene.publish('unpinned', { 'model.onnx': model }, ({ path, bytes, location }) => ({
      path,
      bytes,
      location,
    }))
    scene.proxy.order({ fault: { kind: 'reset', at: AT }, times: 1 })
    await arrives(await scene.store(), version)
    assert.deepEqual(scene.proxy.seen, Array(2).fill(`GET /unpinned/1/model.onnx bytes=0-${BYTES - 1}`))
  })

  it('fetches once more what arrived with another byte, then refuses it for a while', async () => {
    const store = await scene.store()
    scene.proxy.order({ fault: { kind: 'flip', at: AT }, times: 1 })
    await arrives(store, version)
    assert.equal(scene.eventsOf('source.corrupt').length, 1)

    const other = scene.publish('other', { 'model.onnx': model })
    scene.proxy.order({ fault: { kind: 'flip', at: AT } })
    assertLasts(await refuses(store, other, 'ARTIFACT_CORRUPT'))
    assert.deepEqual(await scene.staged(), [version.sourceId])
    scene.proxy.heal()
    const asked = scene.proxy.seen.length
    assertLasts(await refuses(store, other, 'ARTIFACT_CORRUPT'))
    assert.equal(scene.proxy.seen.length, asked)
  })

  it('holds an object against its CRC-64 where no SHA-256 is known', async () => {
    // The check value of the catalogue of CRCs (reveng), in Base64.
    const known = Buffer.from('123456789')
    version = scene.publish('crc', { 'model.onnx': known }, ({ path, bytes, location, etag = '' }) => ({
      path,
      bytes,
      location,
      etag,
      crc64nvme: Buffer.from('ae8b14860a799888', 'hex').toString('base64'),
    }))
    scene.proxy.order({ fault: { kind: 'flip', at: 4 }, times: 1 })
    const store = await scene.store()
    const staged = await store.stage(version)
    assert.deepEqual(await readFile(join(staged.dir, 'model.onnx')), known)
    assert.equal(scene.eventsOf('source.corrupt').length, 1)
    assert.equal((await scene.record(version)).integrity, 'crc64nvme')
  })

  it('says that integrity is weak where no digest is known', async () => {
    version = scene.publish('weak', { 'model.onnx': model }, ({ path, bytes, location, etag = '' }) => ({
      path,
      bytes,
      location,
      etag,
    }))
    await arrives(await scene.store(), version)
    assert.equal((await scene.record(version)).integrity, 'weak')
    assert.equal(scene.eventsOf('source.fetched')[0]?.integrity, 'weak')
  })

  it('leaves it to the registry when the object is replaced under it', async () => {
    let reads = 0
    const honest = httpReader(scene.proxy.url)
    const reader: ObjectReader = {
      ranges: true,
      read(file, from, to, signal) {
        if (++reads === 9) scene.server.put('churn/1/model.onnx', content(BYTES))
        return honest.read(file, from, to, signal)
      },
    }
    const error = await refuses(await scene.store({ reader }), version, 'MODEL_LOADING')
    assert.equal(error.facts.retryAfterMs, 1000)
    assert.deepEqual(await scene.staged(), [])
  })

  const lasting: ReadonlyArray<readonly [Fault & { readonly kind: 'answer' }, ErrorCode]> = [
    [{ kind: 'answer', status: 403, body: '<Code>AccessDenied</Code>' }, 'ARTIFACT_UNREACHABLE'],
    [{ kind: 'answer', status: 404 }, 'ARTIFACT_UNREACHABLE'],
    [{ kind: 'answer', status: 302, headers: { location: 'http://169.254.169.254/' } }, 'ARTIFACT_UNREACHABLE'],
  ]
  for (const [fault, code] of lasting) {
    it(`does not ask again soon after a ${fault.status}`, async () => {
      const store = await scene.store()
      scene.proxy.order({ fault })
      const error = await refuses(store, version, code)
      assertLasts(error)
      assert.doesNotMatch(error.message, /AccessDenied|169\.254/)
      const asked = scene.proxy.seen.length
      scene.proxy.heal()
      await refuses(store, version, code)
      assert.equal(scene.proxy.seen.length, asked)
    })
  }

  it('takes a 416 for an object that was replaced', async () => {
    scene.proxy.order({ fault: { kind: 'answer', status: 416 } })
    await refuses(await scene.store(), version, 'MODEL_LOADING')
  })

  for (const fault of [
    { kind: 'answer', status: 500 },
    { kind: 'answer', status: 503, body: '<Code>SlowDown</Code>' },
    { kind: 'refuse' },
  ] as const) {
    const what = fault.kind === 'answer' ? `a ${fault.status}` : 'a refused connection'
    it(`outlives a few of ${what}, and asks to come back when it lasts`, async () => {
      scene.proxy.order({ fault, times: 5 })
      const store = await scene.store()
      await arrives(store, version)
      const other = scene.publish('other', { 'model.onnx': model })
      scene.proxy.order({ fault })
      assert.ok(((await refuses(store, other, 'STORE_UNAVAILABLE')).facts.retryAfterMs ?? 0) > 0)
      scene.proxy.heal()
      await arrives(store, other)
    })
  }

  it('reads fewer ranges at a time from a store that asks to slow down', async () => {
    scene.proxy.latencyMs = 20
    scene.proxy.order({ fault: { kind: 'answer', status: 503 }, times: 8 })
    let under = 0
    let most = 0
    const honest = httpReader(scene.proxy.url)
    const reader: ObjectReader = {
      ranges: true,
      async read(file, from, to, signal) {
        under++
        if (scene.proxy.seen.length >= 8) most = Math.max(most, under)
        return await honest.read(file, from, to, signal).finally(() => under--)
      },
    }
    await arrives(await scene.store({ reader }), version)
    assert.ok(most <= 6, `${most} at once after all eight were told to slow down`)
  })

  it('ends by its own clock when a read never answers, not even to an abort', async () => {
    const deaf: ObjectReader = { ranges: true, read: () => new Promise(() => {}) }
    const error = await refuses(
      await scene.store({ reader: deaf, limits: LIMITS_OF_FEW_TRIES }),
      version,
      'STORE_UNAVAILABLE',
    )
    assert.match(error.message, /sent nothing/)
  })

  it('ends by its own clock when a body hangs, not even ending with an abort', async () => {
    const hanging: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}), return: () => new Promise(() => {}) }),
    }
    const deaf: ObjectReader = { ranges: true, read: () => Promise.resolve(hanging) }
    await refuses(await scene.store({ reader: deaf, limits: LIMITS_OF_FEW_TRIES }), version, 'STORE_UNAVAILABLE')
  })

  it('waits longer for the first byte where the reader says so, and not between others', async () => {
    scene.proxy.latencyMs = 300
    scene.proxy.order({ fault: { kind: 'stall', at: AT }, times: 1 })
    const reader = { ...httpReader(scene.proxy.url, false), answerMs: () => 60_000 }
    await arrives(await scene.store({ reader, limits: { idleMs: 100 } }), version)
    assert.equal(scene.proxy.seen.length, 2)
  })

  it('does not write what is more than was asked for', async () => {
    const honest = httpReader(scene.proxy.url)
    let reads = 0
    const reader: ObjectReader = {
      ranges: true,
      read: (file, from, to, signal) =>
        ++reads === 1 ? Promise.resolve(twice(content(to - from))) : honest.read(file, from, to, signal),
    }
    await arrives(await scene.store({ reader }), version)
    assert.deepEqual(scene.eventsOf('source.corrupt'), [])
  })

  it('gives up at its deadline, however often it could go on', async () => {
    scene.proxy.bytesPerSecond = 1000
    const store = await scene.store({ limits: { totalMs: 300 } })
    assert.match((await refuses(store, version, 'STORE_UNAVAILABLE')).message, /did not arrive within/)
    assert.deepEqual(await scene.staged(), [])
  })

  it('is one for a thousand that ask at once', async () => {
    const store = await scene.store()
    const staged = await Promise.all(Array.from({ length: 1000 }, () => store.stage(version)))
    assert.equal(scene.proxy.seen.length, Math.ceil(BYTES / RANGE))
    for (const one of staged) one.release()
    assert.equal((await scene.staged()).includes(version.sourceId), true)
  })

  it('is under way for a few sources at a time, the others in their turn', async () => {
    const versions = Array.from({ length: 20 }, (_, one) => scene.publish(`m${one}`, { 'model.onnx': content(RANGE) }))
    const store = await scene.store({ limits: { parallelSources: 4 } })
    scene.proxy.latencyMs = 50
    let held = 0
    let most = 0
    await Promise.all(
      versions.map(async (one) => {
        const staged = await store.stage(one)
        most = Math.max(most, ++held)
        assert.equal(await staged.isUnchanged(), true)
        held--
        staged.release()
      }),
    )
    assert.ok(most <= 4, `${most} were held at once`)
    assert.ok(scene.proxy.mostAtOnce <= 4, `${scene.proxy.mostAtOnce} were fetched at once`)
  })

  it('goes on when those that wait for it leave', async () => {
    const store = await scene.store({ limits: { idleMs: 60_000 } })
    scene.proxy.bytesPerSecond = 2_000_000
    const leaving = new AbortController()
    const left = store.stage(version, leaving.signal)
    await until('the store is asked', () => scene.proxy.seen.length > 0)
    leaving.abort(new Error('had enough'))
    await assert.rejects(left, /had enough/)
    await until('it is whole', async () => (await scene.staged()).join() === version.sourceId)
    const asked = scene.proxy.seen.length
    await arrives(store, version)
    assert.equal(scene.proxy.seen.length, asked)
  })

  it('tells how far it is', async () => {
    const store = await scene.store({ limits: { idleMs: 60_000, parallel: 1 } })
    assert.equal(store.progressOf(version.key), undefined)
    scene.proxy.order({ fault: { kind: 'stall', at: AT } })
    const staging = store.stage(version)
    await until('what comes has come', () => (store.progressOf(version.key)?.bytesDone ?? 0) >= 2 * RANGE)
    await pause(systemClock, 1)
    const progress = store.progressOf(version.key)
    assert.equal(progress?.bytes, BYTES)
    assert.ok((progress?.bytesPerSecond ?? 0) > 0 && (progress?.etaMs ?? 0) > 0)
    await store.close()
    await assert.rejects(staging, { code: 'DRAINING' })
  })

  async function arrives(store: RemoteStore, wanted: ModelVersion): Promise<void> {
    const staged = await store.stage(wanted)
    assert.ok((await readFile(join(staged.dir, 'model.onnx'))).equals(model), 'other bytes arrived')
    assert.equal(await staged.isUnchanged(), true)
    staged.release()
    await until('it is let go', async () => !(await scene.staged()).includes(`${wanted.sourceId}.lock`))
  }
})

const LIMITS_OF_FEW_TRIES = { idleMs: 40, maxTries: 2 }

async function refuses(store: RemoteStore, version: ModelVersion, code: ErrorCode): Promise<GatewayError> {
  const error: unknown = await store.stage(version).then(
    () => assert.fail('it was staged'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof GatewayError, String(error))
  assert.equal(error.code, code, error.message)
  assert.deepEqual([error.facts.model, error.facts.version], [version.name, version.version])
  return error
}

/** Not tried again for half a minute at first. */
function assertLasts({ facts }: GatewayError): void {
  const { retryAfterMs = 0 } = facts
  assert.ok(retryAfterMs > 25_000 && retryAfterMs <= 60_000, `comes back after ${retryAfterMs} ms`)
}

async function* twice(chunk: Buffer): AsyncGenerator<Uint8Array, void, undefined> {
  yield await Promise.resolve(chunk)
  yield chunk
}
