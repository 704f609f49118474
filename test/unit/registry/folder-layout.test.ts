import assert from 'node:assert/strict'
import { symlink, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { FolderRegistry } from '../../../src/registry/folder-registry.ts'
import { FolderRegistryRig } from '../../support/folder-registry-rig.ts'
import type { ManualClock } from '../../support/manual-clock.ts'
import { SourceFolder } from '../../support/source-folder.ts'

let rig: FolderRegistryRig
let registry: FolderRegistry
let folder: SourceFolder
let clock: ManualClock

beforeEach(() => {
  rig = new FolderRegistryRig()
  ;({ registry, folder, clock } = rig)
})
afterEach(() => rig[Symbol.asyncDispose]())

describe('FolderRegistry and its layout', () => {
  it('takes names of one to four segments, and the folder around versions for the model', async () => {
    const names = ['churn', 'acme/churn', 'acme/eu/churn', 'acme/eu/retail/churn', '2024/forecast']
    for (const name of names) await folder.writeVersion(name)
    await folder.writeVersion('churn/nested')
    await folder.writeVersion('a/b/c/d/e')
    await rig.startAndScan()
    assert.deepEqual(registry.names().toSorted(), names.toSorted())
  })

  it('stops serving what lies in a folder that becomes a model', async () => {
    await folder.writeVersion('acme/churn')
    await rig.startAndScan()
    await folder.writeVersion('acme', '3')
    await rig.poll()
    assert.deepEqual(registry.names(), ['acme'])
    await folder.remove('acme/3')
    await clock.advance(2 * rig.pollMs)
    assert.deepEqual(registry.names(), ['acme/churn'])
  })

  it('counts as a version only digits that hold a model file, and prefers .onnx to .ort', async () => {
    await folder.writeVersion('churn', '1')
    await folder.write('churn/2/notes.txt')
    await folder.write('churn/v3/model.onnx')
    await folder.write('churn/4/model.ort')
    await folder.write('churn/5/model.ort')
    await folder.write('churn/5/model.onnx')
    await folder.write('churn/1234567890123456789/model.onnx')
    await rig.startAndScan()
    assert.deepEqual(
      registry.versionsOf('churn').map(({ version, modelFile }) => `${version} ${modelFile}`),
      ['1 model.onnx', '4 model.ort', '5 model.onnx'],
    )
  })

  it('leaves hidden folders and files alone', async () => {
    await folder.writeVersion('churn')
    await folder.write('.snapshot/churn/1/model.onnx')
    await rig.startAndScan()
    const before = registry.resolve({ name: 'churn' })
    await folder.write('churn/1/.model.onnx.partial')
    await clock.advance(rig.pollMs + rig.settleMs)
    assert.equal(registry.resolve({ name: 'churn' }), before)
    assert.deepEqual(registry.names(), ['churn'])
  })

  it('skips a name that is none and tells it once', async () => {
    await folder.writeVersion('acme/infer')
    await folder.writeVersion('has@sign')
    await folder.writeVersion('fine')
    await rig.startAndScan()
    await clock.advance(3 * rig.pollMs)
    assert.deepEqual(registry.names(), ['fine'])
    const skipped = rig
      .events('registry.name_skipped')
      .map(({ path, problem }) => `${String(path)}: ${String(problem)}`)
    assert.equal(skipped.length, 2)
    assert.match(skipped.join('\n'), /acme\/infer: .*word of the URL/)
  })

  it('tells of a model file where none belongs, as in a folder without versions', async () => {
    await folder.write('churn/model.onnx')
    await folder.writeVersion('fine')
    await rig.startAndScan()
    await clock.advance(2 * rig.pollMs)
    const [misplaced, ...more] = rig.events('registry.layout_problem')
    assert.equal(misplaced?.path, folder.at('churn'))
    assert.deepEqual(more, [])
  })

  it('tells of versions in the models folder itself, and serves the rest', async () => {
    await folder.write('1/model.onnx')
    await folder.writeVersion('fine')
    await rig.startAndScan()
    assert.deepEqual(registry.names(), ['fine'])
    assert.equal(rig.events('registry.name_skipped').length, 1)
  })

  it('follows links inside the models folder and refuses those that lead out, in circles or nowhere', async () => {
    await folder.writeVersion('churn', '1')
    const outside = new SourceFolder()
    await outside.writeVersion('secret')
    await symlink(folder.at('churn'), folder.at('alias'))
    await symlink(folder.path, folder.at('circle'))
    await symlink(outside.path, folder.at('outside'))
    await symlink(folder.at('missing'), folder.at('nowhere'))
    await folder.writeVersion('fraud', '1')
    await symlink(outside.at('secret/1/model.onnx'), folder.at('fraud/1/weights.bin'))
    await rig.startAndScan()
    assert.deepEqual(registry.names().toSorted(), ['alias', 'churn', 'fraud'])
    rig.refuses({ name: 'fraud' }, 'ARTIFACT_INVALID', /'weights.bin' leads out of the folder/)
    await outside[Symbol.asyncDispose]()
  })

  it('serves the latest version that can be used, and says of the other why it cannot', async () => {
    await folder.writeVersion('churn', '1')
    await folder.writeVersion('churn', '2')
    await symlink('/etc/hostname', folder.at('churn/2/weights.bin'))
    await rig.startAndScan()
    assert.equal(registry.resolve({ name: 'churn' }).version, '1')
    rig.refuses({ name: 'churn', version: '2' }, 'ARTIFACT_INVALID', /weights\.bin/)
    const broken = registry.versionsOf('churn')[1]
    assert.ok(broken !== undefined)
    assert.match(registry.problemOf(broken) ?? '', /weights\.bin/)
  })
})

describe('FolderRegistry and the files beside the versions', () => {
  it('runs a model as its modelmux.yaml wants, with defaults for the rest', async () => {
    await folder.writeVersion('churn')
    await folder.write('churn/modelmux.yaml', 'batching: { maxRows: 8 }\ndeadlineMs: 500\nwarmUp: [{ inputs: [] }]\n')
    await rig.startAndScan()
    assert.deepEqual(registry.resolve({ name: 'churn' }).settings, {
      batching: { mode: 'auto', maxRows: 8, maxDelayMs: 0 },
      intraOpThreads: 1,
      warmUp: [{ inputs: [] }],
      deadlineMs: 500,
    })
  })

  it('tells changed settings as a change of the same key', async () => {
    await folder.writeVersion('churn')
    await rig.startAndScan()
    const before = registry.resolve({ name: 'churn' })
    await folder.write('churn/modelmux.yaml', 'intraOpThreads: 2')
    await rig.poll()
    const after = registry.resolve({ name: 'churn' })
    assert.equal(after.settings.intraOpThreads, 2)
    assert.equal(after.key, before.key)
    assert.deepEqual(rig.changes.at(-1), { kind: 'changed', version: after, previous: before })
    await folder.remove('churn/modelmux.yaml')
    await rig.poll()
    assert.deepEqual(registry.resolve({ name: 'churn' }).settings, before.settings)
  })

  it('does not run a model whose settings were never right, and says what is wrong', async () => {
    await folder.writeVersion('churn')
    await folder.write('churn/modelmux.yaml', 'batchng: { mode: off }\nintraOpThreads: 0')
    await rig.startAndScan()
    rig.refuses({ name: 'churn' }, 'ARTIFACT_INVALID', /modelmux\.yaml: .*batchng: there is no such field/)
    await folder.write('churn/modelmux.yaml', 'batching: { mode: off }')
    await rig.poll()
    assert.equal(registry.resolve({ name: 'churn' }).settings.batching.mode, 'off')
  })

  it('keeps the last good settings and aliases of a model whose files became wrong, and tells it', async () => {
    await folder.writeVersion('churn')
    await folder.write('churn/modelmux.yaml', 'intraOpThreads: 3')
    await folder.write('churn/aliases.json', '{"champion": 1}')
    await rig.startAndScan()
    await folder.write('churn/modelmux.yaml', 'intraOpThreads: many')
    await folder.write('churn/aliases.json', '{"champion": ')
    await rig.poll()
    const version = registry.resolve({ name: 'churn', alias: 'champion' })
    assert.equal(version.settings.intraOpThreads, 3)
    const problems = rig.events('registry.model_problem').map(({ path }) => String(path))
    assert.deepEqual(problems.toSorted(), [folder.at('churn/aliases.json'), folder.at('churn/modelmux.yaml')])
  })

  it('does not adopt settings that are half written, and does not start a model before it knows them', async () => {
    rig.fileServerIsAhead()
    await folder.writeVersion('churn')
    await rig.startAndScan()
    await clock.advance(rig.settleMs / 2)
    await folder.write('churn/modelmux.yaml', 'batching: { mode: off }')
    await clock.advance(rig.settleMs / 2)
    assert.equal(rig.refusal({ name: 'churn' }).code, 'MODEL_LOADING')
    await folder.write('churn/modelmux.yaml', 'batching: { mode: off, maxRows: 4 }')
    await clock.advance(rig.pollMs + rig.settleMs)
    assert.equal(registry.resolve({ name: 'churn' }).settings.batching.maxRows, 4)
  })

  it('keeps serving what it served while a first modelmux.yaml settles, and starts a version that came with it by then', async () => {
    await folder.writeVersion('churn', '1')
    await rig.startAndScan()
    const before = registry.resolve({ name: 'churn' })
    await folder.writeVersion('churn', '2')
    await folder.write('churn/modelmux.yaml', 'intraOpThreads: 2')
    await rig.pollAtOnce()
    assert.equal(registry.resolve({ name: 'churn' }), before)
    assert.equal(rig.refusal({ name: 'churn', version: '2' }).code, 'MODEL_LOADING')
    await rig.settle()
    assert.equal(registry.resolve({ name: 'churn', version: '2' }).settings.intraOpThreads, 2)
    assert.deepEqual(rig.changes.map(({ kind, version }) => `${kind} ${version.version}`).toSorted(), [
      'added 1',
      'added 2',
      'changed 1',
    ])
  })

  it('does not read settings and aliases that are larger than any need to be, and says so', async () => {
    await folder.writeVersion('churn')
    const tooLong = 256 * 1024 + 1
    await folder.write('churn/modelmux.yaml', `{"intraOpThreads": 2}${' '.repeat(tooLong - 21)}`)
    await folder.write('churn/aliases.json', `{"champion": "1"}${' '.repeat(tooLong - 17)}`)
    await rig.startAndScan()
    rig.refuses(
      { name: 'churn' },
      'ARTIFACT_INVALID',
      /modelmux\.yaml: it has 262145 bytes, at most 262144 are allowed/,
    )
    rig.refuses({ name: 'churn', alias: 'champion' }, 'ALIAS_NOT_FOUND', /no aliases/)
    await folder.write('churn/modelmux.yaml', `{"intraOpThreads": 2}${' '.repeat(tooLong - 22)}`)
    await rig.poll()
    assert.equal(registry.resolve({ name: 'churn' }).settings.intraOpThreads, 2)
  })

  it('reads settings that are long as JSON only, for YAML takes time that grows with the square of its length', async () => {
    await folder.writeVersion('churn')
    await folder.write('churn/modelmux.yaml', Array.from({ length: 4000 }, (_, i) => `key${i}: 1`).join('\n'))
    await rig.startAndScan()
    rig.refuses({ name: 'churn' }, 'ARTIFACT_INVALID', /it has 42889 characters; beyond 32768 only JSON is read/)
  })

  it('tells the first of many problems with settings, and how many more there are', async () => {
    await folder.writeVersion('churn')
    await folder.write('churn/modelmux.yaml', Array.from({ length: 100 }, (_, i) => `key${i}: 1`).join('\n'))
    await rig.startAndScan()
    rig.refuses({ name: 'churn' }, 'ARTIFACT_INVALID', /key19: there is no such field; and 80 more/)
  })

  it('does not take settings that unfold to far more than their file', async () => {
    await folder.writeVersion('churn')
    const requests = Array.from({ length: 15 }, () => '  - *one\n').join('')
    const one = `  - &one { inputs: [{ data: [${'1e9,'.repeat(7000)}1] }] }\n`
    await folder.write('churn/modelmux.yaml', `warmUp:\n${one}${requests}`)
    await rig.startAndScan()
    rig.refuses({ name: 'churn' }, 'ARTIFACT_INVALID', /unfolds to \d+ characters/)
  })

  it('reads nothing from outside the models folder', async () => {
    await folder.writeVersion('churn')
    const outside = new SourceFolder()
    await outside.write('secret.json', 'password=hunter2')
    await symlink(outside.at('secret.json'), folder.at('churn/aliases.json'))
    await rig.startAndScan()
    assert.match(String(rig.events('registry.model_problem')[0]?.problem), /leads out of the models folder/)
    assert.doesNotMatch(JSON.stringify(rig.events('registry.model_problem')), /hunter2/)
    await outside[Symbol.asyncDispose]()
  })
})

describe('FolderRegistry and mistyped names', () => {
  it('works out near names a bounded number of times a second, and remembers them until names change', async () => {
    await folder.writeVersion('acme/churn')
    await rig.startAndScan()
    const near = (name: string) => /near names/.test(rig.refusal({ name }).message)
    assert.ok(near('acme/chur0'))
    const answers = Array.from({ length: 40 }, (_, index) => near(`acme/chur${index}`))
    assert.equal(answers.filter(Boolean).length, 20)
    assert.ok(near('acme/chur0'))
    await clock.advance(1000)
    assert.ok(near('acme/chur39'))
    await folder.writeVersion('acme/chur0x')
    await rig.poll()
    assert.match(rig.refusal({ name: 'acme/chur0' }).message, /'acme\/chur0x'/)
  })

  it('is empty-handed in an empty folder', async () => {
    await writeFile(folder.at('README'), 'no models yet')
    await rig.startAndScan()
    await registry.initialScan
    assert.deepEqual(registry.size, { models: 0, versions: 0 })
    rig.refuses({ name: 'churn' }, 'MODEL_NOT_FOUND', /there is no model 'churn'$/)
  })
})
