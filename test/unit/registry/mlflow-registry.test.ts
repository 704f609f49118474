import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { digestTag, SETTINGS_TAG } from '../../../src/domain/mlflow-tags.ts'
import { until } from '../../support/eventually.ts'
import { MlflowRegistryRig } from '../../support/mlflow-registry-rig.ts'

const DIGEST = 'a'.repeat(64)

describe('the registry of MLflow', () => {
  it('serves by default the version of the default alias, and the latest one of a model without it', async () => {
    const rig = new MlflowRegistryRig()
    for (const version of ['1', '2', '10']) rig.mlflow.add('churn', version)
    await rig.started()
    assert.equal(rig.codeOf({ name: 'churn' }), '10')
    rig.mlflow.setAliases('churn', { champion: '1', challenger: '2' })
    await rig.sweep()
    assert.equal(rig.codeOf({ name: 'churn' }), '1')
    assert.equal(rig.codeOf({ name: 'churn', alias: 'challenger' }), '2')
    rig.mlflow.setAliases('churn', { challenger: '2' })
    await rig.sweep()
    assert.equal(rig.codeOf({ name: 'churn' }), '10')
    await rig.registry.close()
  })

  it('serves by default the latest version where no alias is the default one', async () => {
    const rig = new MlflowRegistryRig({ defaultAlias: null })
    for (const version of ['1', '2']) rig.mlflow.add('churn', version)
    rig.mlflow.setAliases('churn', { champion: '1' })
    await rig.started()
    assert.equal(rig.codeOf({ name: 'churn' }), '2')
    await rig.registry.close()
  })

  it('counts a version once it is ready', async () => {
    const rig = new MlflowRegistryRig()
    rig.mlflow.add('churn', '1')
    rig.mlflow.add('churn', '2', { status: 'PENDING_REGISTRATION' })
    rig.mlflow.add('other', '1', { status: 'FAILED_REGISTRATION' })
    await rig.started()
    assert.equal(rig.codeOf({ name: 'churn' }), '1')
    assert.equal(rig.codeOf({ name: 'churn', version: '2' }), 'VERSION_NOT_FOUND')
    await rig.looked('other')
    assert.equal(rig.codeOf({ name: 'other' }), 'MODEL_NOT_FOUND')
    rig.mlflow.setStatus('churn', '2', 'READY')
    await rig.sweep()
    assert.equal(rig.codeOf({ name: 'churn' }), '2')
    await rig.registry.close()
  })

  it('keeps the version of an alias that moved to one that is not there, and says so once', async () => {
    const rig = new MlflowRegistryRig()
    rig.mlflow.add('churn', '1')
    rig.mlflow.setAliases('churn', { champion: '1' })
    await rig.started()
    rig.mlflow.add('churn', '2', { status: 'PENDING_REGISTRATION' })
    rig.mlflow.setAliases('churn', { champion: '2' })
    await rig.sweep()
    await rig.sweep()
    assert.equal(rig.codeOf({ name: 'churn' }), '1')
    assert.equal(rig.codeOf({ name: 'churn', alias: 'champion' }), '1')
    assert.deepEqual(rig.told('registry.model_problem'), [
      { path: 'churn/@champion', problem: 'it names version 2, which is not there; 1 stays served' },
    ])
    rig.mlflow.setStatus('churn', '2', 'READY')
    await rig.sweep()
    assert.equal(rig.codeOf({ name: 'churn', alias: 'champion' }), '2')
    await rig.registry.close()
  })

  it('takes a version made anew under the same number, or with other digests, for another one', async () => {
    const rig = new MlflowRegistryRig()
    rig.mlflow.add('churn', '1')
    const registry = await rig.started()
    const first = registry.resolve({ name: 'churn' })
    assert.match(first.sourceId, /^[0-9a-f]{24}$/)
    rig.mlflow.add('churn', '1')
    await rig.sweep()
    const second = registry.resolve({ name: 'churn' })
    assert.notEqual(second.sourceId, first.sourceId)
    assert.throws(() => registry.filesOf(first), { code: 'ARTIFACT_UNREACHABLE' })
    rig.mlflow.add('churn', '1', {
      tags: new Map([
        [digestTag('model.onnx'), DIGEST.toUpperCase()],
        [digestTag('MLmodel'), 'no digest'],
      ]),
    })
    await rig.sweep()
    assert.deepEqual(registry.filesOf(registry.resolve({ name: 'churn' })).digests, [['model.onnx', DIGEST]])
    const other = new MlflowRegistryRig({ mlflow: rig.mlflow, origin: 'http://another' })
    await other.started()
    assert.notEqual(other.registry.resolve({ name: 'churn' }).sourceId, registry.resolve({ name: 'churn' }).sourceId)
    await Promise.all([registry.close(), other.registry.close()])
  })

  it('asks for a thousand models and two thousand versions a call', async () => {
    const rig = new MlflowRegistryRig()
    for (let i = 0; i < 2500; i++) for (const version of ['1', '2']) rig.mlflow.add(`model-${i}`, version)
    rig.mlflow.pageSize = 2000
    await rig.started()
    assert.deepEqual(rig.registry.size, { models: 2500, versions: 5000 })
    assert.deepEqual(rig.mlflow.calls, ['models', 'models', 'models', 'versions', 'versions', 'versions'])
    await rig.registry.close()
  })

  it('takes nothing for gone that slipped from one page to another while the list was read', async () => {
    const rig = new MlflowRegistryRig()
    for (const name of ['a', 'b', 'c', 'd']) rig.mlflow.add(name, '1')
    rig.mlflow.pageSize = 2
    await rig.started()
    rig.mlflow.calls.length = 0
    // Once the first page of versions is read, its first model goes: the third moves to where the first page was.
    rig.mlflow.onCall = () => {
      if (rig.mlflow.calls.filter((call) => call === 'versions').length === 2) rig.mlflow.remove('a', '1')
    }
    await rig.sweep()
    assert.deepEqual(rig.registry.names().toSorted(), ['a', 'b', 'c', 'd'])
    assert.deepEqual(
      rig.mlflow.calls.filter((call) => call.startsWith('model ')),
      ['model c'],
    )
    rig.mlflow.onCall = () => {}
    await rig.sweep()
    assert.deepEqual(rig.registry.names().toSorted(), ['b', 'c', 'd'])
    await rig.registry.close()
  })

  it('asks by name for a hundred models that it is in doubt of in each sweep, and for all of them in turn', async () => {
    const rig = new MlflowRegistryRig()
    for (let i = 0; i < 250; i++) rig.mlflow.add(`model-${i}`, '1')
    rig.mlflow.hidesModels = true
    await rig.started()
    const asked = () => rig.mlflow.calls.filter((call) => call.startsWith('model ')).length
    assert.deepEqual([asked(), rig.registry.size.models], [100, 100])
    await rig.sweep()
    await rig.sweep()
    assert.equal(rig.registry.size.models, 250)
    await rig.registry.close()
  })

  it('looks for a name that it does not know in two calls, once for all who ask, and remembers that there is none', async () => {
    const rig = new MlflowRegistryRig()
    rig.mlflow.add('known', '1')
    await rig.started()
    rig.mlflow.calls.length = 0
    rig.mlflow.add("o'neill", '3')
    for (let i = 0; i < 5; i++) assert.equal(rig.codeOf({ name: "o'neill" }), 'MODEL_LOADING')
    await rig.looked("o'neill")
    assert.equal(rig.codeOf({ name: "o'neill" }), '3')
    assert.deepEqual(rig.mlflow.calls, ["model o'neill", 'versions'])
    await rig.looked('nobody')
    for (let i = 0; i < 5; i++) assert.equal(rig.codeOf({ name: 'nobody' }), 'MODEL_NOT_FOUND')
    assert.deepEqual(rig.mlflow.calls.slice(2), ['model nobody'])
    await rig.registry.close()
  })

  it('passes over names that no client could ask for, and says why', async () => {
    const rig = new MlflowRegistryRig()
    rig.mlflow.add('fine name', '1')
    rig.mlflow.add('50%', '1')
    await rig.started()
    assert.deepEqual(rig.registry.names(), ['fine name'])
    assert.deepEqual(rig.told('registry.name_skipped'), [
      { path: '50%', problem: 'a segment holds one of / : @ ? # % \\' },
    ])
    await rig.registry.close()
  })

  it('runs a model as the tag of its owner says, as before while the tag is wrong, and not at all when it never was right', async () => {
    const rig = new MlflowRegistryRig()
    rig.mlflow.add('churn', '1')
    rig.mlflow.setTag('churn', SETTINGS_TAG, 'batching: { mode: off }\nintraOpThreads: 2')
    rig.mlflow.add('wrong', '1')
    rig.mlflow.setTag('wrong', SETTINGS_TAG, 'threads: 2')
    const registry = await rig.started()
    const version = registry.resolve({ name: 'churn' })
    assert.equal(version.settings.intraOpThreads, 2)
    assert.equal(version.settings.batching.mode, 'off')
    assert.throws(() => registry.resolve({ name: 'wrong' }), /threads: there is no such field/)
    rig.mlflow.setTag('churn', SETTINGS_TAG, 'intraOpThreads: many')
    await rig.sweep()
    assert.equal(registry.resolve({ name: 'churn' }), version)
    assert.deepEqual(
      rig.told('registry.model_problem').map(({ path }) => path),
      [`wrong/${SETTINGS_TAG}`, `churn/${SETTINGS_TAG}`],
    )
    await registry.close()
  })

  it('runs a version as its files say once they were read, where its owner says nothing else', async () => {
    const rig = new MlflowRegistryRig()
    rig.mlflow.add('churn', '1')
    rig.mlflow.add('churn', '2')
    const registry = await rig.started()
    const version = registry.resolve({ name: 'churn', version: '2' })
    rig.changes.length = 0
    const said = { intraOpThreads: 3, warmUp: [{ inputs: [[1, 2]] }] }
    registry.learn(version, said)
    const learned = registry.resolve({ name: 'churn', version: '2' })
    assert.equal(learned.key, version.key)
    assert.deepEqual(rig.changes, [{ kind: 'changed', version: learned, previous: version }])
    assert.deepEqual([learned.settings.intraOpThreads, learned.settings.warmUp], [3, said.warmUp])
    assert.equal(registry.resolve({ name: 'churn', version: '1' }).settings.intraOpThreads, 1)
    registry.learn(version, structuredClone(said))
    await rig.sweep()
    assert.equal(registry.resolve({ name: 'churn', version: '2' }), learned)
    rig.mlflow.setTag('churn', SETTINGS_TAG, 'intraOpThreads: 2')
    await rig.sweep()
    const { settings } = registry.resolve({ name: 'churn', version: '2' })
    assert.deepEqual([settings.intraOpThreads, settings.warmUp], [2, said.warmUp])
    registry.learn({ ...version, sourceId: 'gone' }, { intraOpThreads: 9 })
    assert.equal(registry.resolve({ name: 'churn', version: '2' }).settings, settings)
    await registry.close()
  })

  describe('while MLflow does not answer', () => {
    it('answers from what it knew, says how old that is, and catches up by itself', async () => {
      const rig = new MlflowRegistryRig()
      rig.mlflow.add('churn', '1')
      const registry = await rig.started()
      rig.mlflow.fails = new Error('MLflow answered 500')
      await rig.rest()
      await rig.clock.advance(rig.pollMs)
      await until('it was noticed', () => rig.told('registry.root_lost').length > 0)
      assert.deepEqual(rig.told('registry.root_lost'), [
        { path: 'http://mlflow', reason: 'MLflow answered 500', models: 1 },
      ])
      assert.equal(rig.codeOf({ name: 'churn' }), '1')
      assert.equal(registry.ageMs, rig.pollMs)
      assert.equal(rig.codeOf({ name: 'new' }), 'REGISTRY_UNAVAILABLE')
      rig.mlflow.fails = undefined
      rig.mlflow.add('churn', '2')
      await rig.rest()
      await rig.clock.advance(rig.pollMs)
      await until('it caught up', () => rig.codeOf({ name: 'churn' }) === '2')
      await registry.close()
    })

    it('has on disk within seconds what files said, so that a kill does not lose it', async () => {
      const dir = await mkdtemp(join(tmpdir(), 'modelmux-mlflow-snapshot-'))
      after(() => rm(dir, { recursive: true, force: true }))
      const snapshot = join(dir, 'known.jsonl')
      const first = new MlflowRegistryRig({ snapshot })
      first.mlflow.add('churn', '1')
      await first.started()
      await first.rest()
      first.registry.learn(first.registry.resolve({ name: 'churn' }), { intraOpThreads: 2 })
      await first.clock.advance(2000)
      await until('it is on disk', async () => (await readFile(snapshot, 'utf8')).includes('"intraOpThreads":2'))
      await first.registry.close()
    })

    it('knows after a restart what it knew, with what files said, and nothing of another registry', async () => {
      const dir = await mkdtemp(join(tmpdir(), 'modelmux-mlflow-snapshot-'))
      after(() => rm(dir, { recursive: true, force: true }))
      const snapshot = join(dir, 'registry', 'known.jsonl')
      const first = new MlflowRegistryRig({ snapshot })
      first.mlflow.add('churn', '1')
      first.mlflow.add('churn', '2')
      first.mlflow.setAliases('churn', { champion: '1' })
      await first.started()
      const version = first.registry.resolve({ name: 'churn' })
      first.registry.learn(version, { intraOpThreads: 2 })
      await first.rest()
      const learned = first.registry.resolve({ name: 'churn' })
      await first.registry.close()

      const second = new MlflowRegistryRig({ snapshot })
      second.mlflow.fails = new Error('MLflow is gone')
      await second.registry.start()
      assert.deepEqual(second.registry.resolve({ name: 'churn' }), learned)
      assert.deepEqual(second.registry.filesOf(learned), first.registry.filesOf(learned))
      await second.registry.close()

      const configured = new MlflowRegistryRig({ snapshot, mlflow: first.mlflow, maxRows: 8 })
      await configured.started()
      const { settings } = configured.registry.resolve({ name: 'churn' })
      assert.deepEqual([settings.batching.maxRows, settings.intraOpThreads], [8, 2])
      await configured.registry.close()

      const other = new MlflowRegistryRig({ snapshot, origin: 'http://another' })
      other.mlflow.fails = new Error('MLflow is gone')
      await other.registry.start()
      assert.deepEqual(other.registry.names(), [])
      await other.registry.close()
    })
  })
})
