import assert from 'node:assert/strict'
import { rename, utimes } from 'node:fs/promises'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { FolderRegistry } from '../../../src/registry/folder-registry.ts'
import { FolderRegistryRig } from '../../support/folder-registry-rig.ts'
import type { InlineScanner } from '../../support/inline-scanner.ts'
import type { ManualClock } from '../../support/manual-clock.ts'
import { SourceFolder } from '../../support/source-folder.ts'

let rig: FolderRegistryRig
let registry: FolderRegistry
let folder: SourceFolder
let clock: ManualClock
let scanner: InlineScanner

beforeEach(() => {
  rig = new FolderRegistryRig()
  ;({ registry, folder, clock, scanner } = rig)
})
afterEach(() => rig[Symbol.asyncDispose]())

describe('FolderRegistry, before its first look is over', () => {
  it('answers unknown names with MODEL_LOADING, and has a name that was asked for looked at first', async () => {
    await folder.writeVersion('acme/churn')
    await registry.start()
    const error = rig.refusal({ name: 'acme/churn' })
    assert.equal(error.code, 'MODEL_LOADING')
    assert.ok((error.facts.retryAfterMs ?? 0) <= 1000)
    rig.refusal({ name: 'acme/churn' })
    assert.deepEqual(scanner.asked, ['acme/churn'])
    scanner.answer()
    assert.equal(registry.resolve({ name: 'acme/churn' }).version, '1')
    assert.equal(rig.events('registry.scanned').length, 0)
  })

  it('says MODEL_NOT_FOUND of a name that was looked for in vain', async () => {
    await folder.writeVersion('acme/churn')
    await registry.start()
    for (const name of ['acme/other', 'acme/churn/1', 'none']) {
      assert.equal(rig.refusal({ name }).code, 'MODEL_LOADING')
      scanner.answer()
      rig.refuses({ name }, 'MODEL_NOT_FOUND', new RegExp(name))
    }
  })

  it('takes names that are asked for while it looks between two folders', async () => {
    for (const name of ['a', 'b', 'c']) await folder.writeVersion(name)
    await registry.start()
    rig.refusal({ name: 'c' })
    const order: string[] = []
    registry.onChange(({ version }) => order.push(version.name))
    scanner.scan()
    assert.equal(order[0], 'c')
    assert.equal(order.length, 3)
  })

  it('bounds the names that it has looked for', async () => {
    await registry.start()
    for (let i = 0; i < 5000; i++) rig.refusal({ name: `name-${i}` })
    assert.equal(scanner.asked.length, 1000)
  })

  it('says that the folder cannot be looked at, and begins when it can', async () => {
    await rename(folder.path, `${folder.path}-away`)
    await rig.startAndScan()
    rig.refuses({ name: 'churn' }, 'REGISTRY_UNAVAILABLE', /ENOENT/)
    await rename(`${folder.path}-away`, folder.path)
    await folder.writeVersion('churn')
    await rig.poll()
    await registry.initialScan
    assert.equal(registry.resolve({ name: 'churn' }).version, '1')
  })

  it('lets those go who wait for the first look when it is closed', async () => {
    await registry.start()
    await registry.close()
    await registry.initialScan
  })
})

describe('FolderRegistry and files that change', () => {
  it('answers MODEL_LOADING until the only version has settled, and notices without waiting for the next poll', async () => {
    rig.comeToThePresent()
    await folder.writeVersion('churn')
    await rig.startAndScan()
    const error = rig.refusal({ name: 'churn' })
    assert.equal(error.code, 'MODEL_LOADING')
    assert.equal(error.facts.retryAfterMs, rig.settleMs)
    assert.equal(rig.refusal({ name: 'churn', version: '1' }).code, 'MODEL_LOADING')
    await rig.settle()
    assert.equal(registry.resolve({ name: 'churn' }).version, '1')
  })

  it('keeps serving version 1 while version 2 is being written', async () => {
    await folder.writeVersion('churn', '1')
    await rig.startAndScan()
    await folder.writeVersion('churn', '2')
    await rig.pollAtOnce()
    assert.equal(registry.resolve({ name: 'churn' }).version, '1')
    assert.equal(rig.refusal({ name: 'churn', version: '2' }).code, 'MODEL_LOADING')
    await rig.settle()
    assert.equal(registry.resolve({ name: 'churn' }).version, '2')
  })

  it('starts the settling time again with each write', async () => {
    rig.fileServerIsAhead()
    await folder.writeVersion('churn', '1', 'a')
    await rig.startAndScan()
    for (const content of ['ab', 'abc', 'abcd']) {
      await clock.advance(rig.settleMs / 2)
      await folder.writeVersion('churn', '1', content)
      await clock.advance(rig.settleMs / 2)
      assert.equal(rig.refusal({ name: 'churn' }).code, 'MODEL_LOADING')
    }
    await rig.settle()
    assert.equal(registry.resolve({ name: 'churn' }).bytes, 4)
  })

  it('keeps the old key of a file that is overwritten until the new bytes have settled', async () => {
    await folder.writeVersion('churn', '1', 'before')
    await rig.startAndScan()
    const before = registry.resolve({ name: 'churn' })
    await folder.writeVersion('churn', '1', 'afterwards')
    await rig.pollAtOnce()
    assert.equal(registry.resolve({ name: 'churn' }), before)
    await rig.settle()
    const after = registry.resolve({ name: 'churn' })
    assert.notEqual(after.key, before.key)
    assert.deepEqual(rig.changes.at(-1), { kind: 'changed', version: after, previous: before })
  })

  it('waits after a file beside the model was taken away: its successor may be on the way', async () => {
    await folder.writeVersion('churn', '1')
    await folder.write('churn/1/weights.bin')
    await rig.startAndScan()
    const before = registry.resolve({ name: 'churn' })
    await folder.remove('churn/1/weights.bin')
    await rig.pollAtOnce()
    assert.equal(registry.resolve({ name: 'churn' }), before)
    await rig.settle()
    assert.notEqual(registry.resolve({ name: 'churn' }).key, before.key)
  })

  it('trusts its own clock when the file server is ahead by an hour', async () => {
    rig.fileServerIsAhead()
    await folder.writeVersion('churn')
    await rig.startAndScan()
    assert.equal(rig.refusal({ name: 'churn' }).code, 'MODEL_LOADING')
    await rig.settle()
    assert.equal(registry.resolve({ name: 'churn' }).version, '1')
  })

  it('sees other bytes of the same size although their modification time was set back', async () => {
    await folder.writeVersion('churn', '1', 'before')
    const file = folder.at('churn/1/model.onnx')
    await utimes(file, 1_600_000_000, 1_600_000_000)
    await rig.startAndScan()
    const before = registry.resolve({ name: 'churn' })
    await folder.writeVersion('churn', '1', 'behind')
    await utimes(file, 1_600_000_000, 1_600_000_000)
    await clock.advance(rig.pollMs + rig.settleMs)
    assert.notEqual(registry.resolve({ name: 'churn' }).key, before.key)
  })

  it('finds a model file that comes into a version folder made before', async () => {
    await folder.write('churn/7/notes.txt')
    await rig.startAndScan()
    rig.refuses({ name: 'churn' }, 'MODEL_NOT_FOUND', /churn/)
    await folder.write('churn/7/model.onnx')
    await clock.advance(rig.pollMs + rig.settleMs)
    assert.equal(registry.resolve({ name: 'churn' }).version, '7')
  })
})

describe('FolderRegistry and a folder that goes away', () => {
  it('keeps every model while the folder is gone, tells it once, and goes on when it is back', async () => {
    await folder.writeVersion('churn')
    assert.equal(registry.ageMs, undefined)
    await rig.startAndScan()
    const version = registry.resolve({ name: 'churn' })
    await rename(folder.path, `${folder.path}-away`)
    await clock.advance(3 * rig.pollMs)
    assert.equal(registry.resolve({ name: 'churn' }), version)
    assert.equal(rig.events('registry.root_lost').length, 1)
    assert.match(registry.lostReason ?? '', /ENOENT/)
    assert.equal(registry.ageMs, 3 * rig.pollMs)
    await rename(`${folder.path}-away`, folder.path)
    await folder.writeVersion('fraud')
    await clock.advance(rig.pollMs + rig.settleMs)
    assert.equal(rig.events('registry.root_found').length, 1)
    assert.equal(registry.lostReason, undefined)
    assert.ok((registry.ageMs ?? rig.pollMs) < rig.pollMs)
    assert.deepEqual(registry.names().toSorted(), ['churn', 'fraud'])
    assert.equal(registry.resolve({ name: 'churn' }), version)
  })

  it('takes an empty folder in its place for an unmounted one', async () => {
    await folder.writeVersion('churn')
    await rig.startAndScan()
    const mountPoint = new SourceFolder()
    await rename(folder.path, `${folder.path}-away`)
    await rename(mountPoint.path, folder.path)
    await rig.poll()
    assert.equal(registry.resolve({ name: 'churn' }).version, '1')
    assert.equal(rig.events('registry.root_lost').length, 1)
    await rename(folder.path, mountPoint.path)
    await rename(`${folder.path}-away`, folder.path)
    await mountPoint[Symbol.asyncDispose]()
  })

  it('believes that the last model was removed when the folder itself is the same', async () => {
    await folder.writeVersion('churn')
    await rig.startAndScan()
    await folder.remove('churn')
    await rig.poll()
    rig.refuses({ name: 'churn' }, 'MODEL_NOT_FOUND', /churn/)
  })

  it('reconciles what it knows with what a restarted scanner finds', async () => {
    for (const name of ['kept', 'removed']) await folder.writeVersion(name)
    await rig.startAndScan()
    const kept = registry.resolve({ name: 'kept' })
    await folder.remove('removed')
    scanner.dieAndRestart()
    assert.equal(registry.resolve({ name: 'removed' }).version, '1')
    scanner.scan()
    assert.equal(registry.resolve({ name: 'kept' }), kept)
    rig.refuses({ name: 'removed' }, 'MODEL_NOT_FOUND', /removed/)
    assert.equal(rig.events('registry.scanner_died').length, 1)
  })
})
