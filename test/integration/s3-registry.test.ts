/** The S3 registry on a real server: what it calls for, what it remembers, and what it does when nobody answers. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, it } from 'node:test'
import { GatewayError } from '../../src/domain/errors.ts'
import { until } from '../support/eventually.ts'
import type { S3RigOptions } from '../support/s3-registry-rig.ts'
import { S3RegistryRig } from '../support/s3-registry-rig.ts'
import { noS3Server, S3Server } from '../support/s3-server.ts'

const BUCKET = 'models'

describe('the S3 registry', { skip: noS3Server }, () => {
  let server: S3Server
  let folder: string
  let rigs: S3RegistryRig[] = []
  let tests = 0

  before(async () => {
    server = await S3Server.start({ buckets: [BUCKET] })
    folder = await mkdtemp(join(tmpdir(), 'modelmux-registry-'))
  })
  after(async () => {
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  })
  afterEach(async () => {
    for (const rig of rigs) await rig.close()
    rigs = []
    tests++
  })

  function rigOf(options: Partial<S3RigOptions> = {}): S3RegistryRig {
    const rig = new S3RegistryRig({ server, uri: `s3://${BUCKET}/test ${tests}+`, ...options })
    rigs.push(rig)
    return rig
  }

  async function started(options: Partial<S3RigOptions> = {}): Promise<S3RegistryRig> {
    const rig = rigOf(options)
    await rig.registry.start()
    await rig.sweep()
    return rig
  }

  it('lists a thousand objects a call, and none for a request whose model is known', async () => {
    const rig = rigOf()
    const names = Array.from({ length: 1200 }, (_, index) => `customer-${index}/churn`)
    await Promise.all(names.map((name) => rig.put(`${name}/1/model.onnx`, 'x')))
    await rig.registry.start()
    await rig.sweep()
    assert.equal(rig.calls, 2)
    for (const name of names) assert.equal(rig.registry.resolve({ name }).version, '1')
    assert.deepEqual(rig.registry.size, { models: 1200, versions: 1200 })
    assert.equal(rig.calls, 2)
  })

  it('says where the files of a version are, and which objects they are', async () => {
    const rig = rigOf()
    await rig.put('acme/churn/7/model.onnx', 'graph')
    await rig.put('acme/churn/7/weights/w.bin', 'weights')
    await rig.registry.start()
    await rig.sweep()
    const version = rig.registry.resolve({ name: 'acme/churn' })
    assert.equal(version.bytes, 12)
    const { files } = rig.registry.sourceOf(version)
    const at = `s3://${BUCKET}/test ${tests}+/acme/churn/7`
    assert.deepEqual(
      files,
      [
        { path: 'model.onnx', bytes: 5, location: `${at}/model.onnx` },
        { path: 'weights/w.bin', bytes: 7, location: `${at}/weights/w.bin` },
      ].map((file, index) => ({ ...file, etag: files[index]?.etag })),
    )
    await rig.put('acme/churn/7/weights/w.bin', 'WEIGHTS')
    await rig.sweep()
    assert.notEqual(rig.registry.resolve({ name: 'acme/churn' }).sourceId, version.sourceId)
    assert.throws(
      () => rig.registry.sourceOf(version),
      (error: unknown) => error instanceof GatewayError && error.code === 'ARTIFACT_UNREACHABLE',
    )
  })

  it('looks once for a name that it does not know, in two calls, and remembers that there is none', async () => {
    const rig = await started()
    const before = rig.calls
    assert.equal(rig.codeOf({ name: 'acme/late' }), 'MODEL_LOADING')
    assert.equal(rig.codeOf({ name: 'acme/late' }), 'MODEL_LOADING')
    await rig.looked('acme/late')
    for (let asked = 0; asked < 100; asked++) assert.equal(rig.codeOf({ name: 'acme/late' }), 'MODEL_NOT_FOUND')
    assert.equal(rig.calls - before, 2)
    // Published, and known long before the next sweep; while it is looked for the old answer stands.
    await rig.put('acme/late/3/model.onnx', 'x')
    await rig.clock.advance(11_000)
    assert.equal(rig.codeOf({ name: 'acme/late' }), 'MODEL_NOT_FOUND')
    await until('it is found', () => rig.codeOf({ name: 'acme/late' }) === '3')
    assert.equal(rig.calls - before, 4)
  })

  it('lets nobody make it call without end by asking for names that nobody has', async () => {
    const rig = await started()
    const before = rig.calls
    const codes = new Set<string>()
    for (let asked = 0; asked < 1000; asked++) codes.add(rig.codeOf({ name: `nobody-${asked}` }))
    assert.deepEqual([...codes].toSorted(), ['MODEL_LOADING', 'MODEL_NOT_FOUND'])
    await until('the looks have ended', () => rig.codeOf({ name: 'nobody-0' }) === 'MODEL_NOT_FOUND')
    assert.ok(rig.calls - before <= 16, `${rig.calls - before} calls`)
  })

  it('looks at a model again when somebody heard of news, once more when they came during a look', async () => {
    const rig = rigOf()
    await rig.put('churn/1/model.onnx', 'x')
    await rig.registry.start()
    await rig.sweep()
    await rig.put('churn/2/model.onnx', 'x')
    const before = rig.calls
    for (let heard = 0; heard < 100; heard++) rig.registry.lookAgain('churn')
    await until('version 2 is known', () => rig.codeOf({ name: 'churn' }) === '2')
    await until('the looks have ended', () => rig.calls - before === 4)
    await rig.remove('churn/1/model.onnx')
    await rig.remove('churn/2/model.onnx')
    rig.registry.lookAgain('churn')
    await until('the model is gone', () => rig.registry.size.models === 0)
  })

  it('believes a look that ended during a sweep, not the older page of the sweep', async () => {
    const rig = rigOf()
    await rig.put('churn/1/model.onnx', 'x')
    await rig.registry.start()
    await rig.sweep()
    const held = rig.holdLists()
    await rig.clock.advance(rig.pollMs)
    await until('the sweep has its page', () => held.waiting === 1)
    await rig.put('churn/2/model.onnx', 'x')
    held.letOthers()
    rig.registry.lookAgain('churn')
    await until('version 2 is known', () => rig.codeOf({ name: 'churn' }) === '2')
    rig.changes.length = 0
    held.release()
    await until('the sweep has ended', () => (rig.registry.ageMs ?? 1) === 0)
    assert.equal(rig.codeOf({ name: 'churn' }), '2')
    assert.deepEqual(rig.changes, [])
  })

  it('waits for the settings of a model, reads them once, and keeps the last good ones', async () => {
    const rig = rigOf()
    await rig.put('churn/1/model.onnx', 'x')
    await rig.put('churn/modelmux.yaml', 'batching: { mode: off }')
    await rig.registry.start()
    await rig.sweep()
    assert.equal(rig.calls, 2)
    assert.equal(rig.registry.resolve({ name: 'churn' }).settings.batching.mode, 'off')
    await rig.sweep()
    assert.equal(rig.calls, 3)
    await rig.put('churn/modelmux.yaml', 'batching: { mode: sideways }')
    await rig.sweep()
    assert.equal(rig.registry.resolve({ name: 'churn' }).settings.batching.mode, 'off')
    assert.match(String(rig.told('registry.model_problem')[0]?.problem), /expected auto or off/)
    await rig.put('fresh/1/model.onnx', 'x')
    await rig.put('fresh/modelmux.yaml', `# ${'x'.repeat(300_000)}`)
    await rig.sweep()
    assert.equal(rig.codeOf({ name: 'fresh' }), 'ARTIFACT_INVALID')
  })

  it('counts a version once its newest object has settled', async () => {
    const rig = rigOf({ settleMs: 60_000, aheadMs: 0 })
    await rig.put('churn/1/model.onnx', 'x')
    await rig.registry.start()
    await rig.sweep()
    assert.equal(rig.codeOf({ name: 'churn' }), 'MODEL_LOADING')
    await rig.clock.advance(60_000)
    await until('it counts', () => rig.codeOf({ name: 'churn' }) === '1')
  })

  it('knows what it knew while S3 does not answer, and how old that is', async () => {
    const rig = rigOf()
    await rig.put('churn/1/model.onnx', 'x')
    await rig.registry.start()
    await rig.sweep()
    await server.halt()
    try {
      await rig.clock.advance(rig.pollMs)
      await until('the loss is told', () => rig.told('registry.root_lost').length === 1)
      assert.equal(rig.codeOf({ name: 'churn' }), '1')
      assert.equal(rig.codeOf({ name: 'other' }), 'REGISTRY_UNAVAILABLE')
      assert.equal(rig.registry.ageMs, rig.pollMs)
      assert.match(String(rig.told('registry.root_lost')[0]?.reason), /ECONNREFUSED/)
    } finally {
      await server.resume()
    }
    await rig.clock.advance(rig.pollMs)
    await until('it is back', () => rig.told('registry.root_found').length === 1)
    assert.equal(rig.told('registry.root_lost').length, 1)
    assert.ok((rig.registry.ageMs ?? rig.pollMs) < rig.pollMs)
  })

  it('takes nothing for gone when a listing breaks off', async () => {
    const rig = rigOf()
    for (const name of ['a', 'b']) await rig.put(`${name}/1/model.onnx`, 'x')
    await rig.registry.start()
    await rig.sweep()
    await server.halt()
    try {
      await rig.clock.advance(rig.pollMs)
      await until('the loss is told', () => rig.told('registry.root_lost').length === 1)
      assert.deepEqual(rig.registry.names().toSorted(), ['a', 'b'])
    } finally {
      await server.resume()
    }
  })

  it('knows after a restart what it knew before, although S3 is down', async () => {
    const snapshot = join(folder, 'deep/registry.jsonl')
    const first = rigOf({ snapshot })
    await first.put('acme/churn/7/model.onnx', 'graph')
    await first.put('acme/churn/aliases.json', '{"champion":"7"}')
    await first.put('acme/churn/modelmux.yaml', 'deadlineMs: 1234')
    await first.registry.start()
    await first.sweep()
    const before = first.registry.resolve({ name: 'acme/churn', alias: 'champion' })
    await until('it is on disk', async () => (await readFile(snapshot, 'utf8').catch(() => '')).includes('"end":1'))
    await first.close()
    await server.halt()
    try {
      const second = rigOf({ snapshot })
      await second.registry.start()
      const again = second.registry.resolve({ name: 'acme/churn', alias: 'champion' })
      assert.deepEqual(again, before)
      assert.deepEqual(second.registry.sourceOf(again), first.registry.sourceOf(before))
      assert.ok((second.registry.ageMs ?? 0) > 0)
      assert.equal(second.told('registry.restored')[0]?.models, 1)

      const other = rigOf({ snapshot, uri: `s3://${BUCKET}/elsewhere` })
      await other.registry.start()
      assert.deepEqual(other.registry.names(), [])
      await writeFile(snapshot, (await readFile(snapshot, 'utf8')).replace(/\{"end":1\}\n$/, ''))
      const cut = rigOf({ snapshot })
      await cut.registry.start()
      assert.deepEqual(cut.registry.names(), [])
    } finally {
      await server.resume()
    }
  })

  it('goes on with the settings from before a restart while they cannot be read', async () => {
    const snapshot = join(folder, 'settings.jsonl')
    const first = rigOf({ snapshot })
    await first.put('churn/1/model.onnx', 'x')
    await first.registry.start()
    await first.sweep()
    await until('it is on disk', async () => (await readFile(snapshot, 'utf8').catch(() => '')).includes('"end":1'))
    await first.close()
    await first.put('churn/2/model.onnx', 'x')
    await first.put('churn/modelmux.yaml', 'deadlineMs: 1')
    const second = rigOf({ snapshot })
    second.failsReads = true
    await second.registry.start()
    await second.sweep()
    // Version 2 waits for the settings; version 1 was served without them.
    assert.equal(second.codeOf({ name: 'churn' }), '1')
    assert.equal(second.codeOf({ name: 'churn', version: '2' }), 'MODEL_LOADING')
    second.failsReads = false
    await second.sweep()
    assert.equal(second.codeOf({ name: 'churn' }), '2')
    assert.equal(second.registry.resolve({ name: 'churn' }).settings.deadlineMs, 1)
  })

  it('takes an archive for version 1 of its name, unless there is a folder of versions', async () => {
    const rig = rigOf()
    await rig.put('churn.tar.gz', 'archive')
    await rig.put('acme/fraud.tar.gz', 'archive')
    await rig.put('both.tar.gz', 'archive')
    await rig.put('both/5/model.onnx', 'x')
    await rig.put('both.more/1/model.onnx', 'x')
    await rig.registry.start()
    await rig.sweep()
    for (const name of ['churn', 'acme/fraud']) {
      const version = rig.registry.resolve({ name })
      assert.equal(version.version, '1')
      assert.equal(rig.registry.sourceOf(version).files[0]?.isArchive, true)
    }
    assert.equal(rig.codeOf({ name: 'both' }), '5')
    rig.changes.length = 0
    await rig.sweep()
    rig.registry.lookAgain('both')
    await rig.sweep()
    assert.deepEqual(rig.changes, [])
    await rig.remove('both/5/model.onnx')
    await rig.sweep()
    assert.equal(rig.codeOf({ name: 'both' }), '1')
  })
})
