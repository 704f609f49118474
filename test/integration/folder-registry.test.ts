import assert from 'node:assert/strict'
import { rename } from 'node:fs/promises'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { GatewayError } from '../../src/domain/errors.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { FolderRegistry } from '../../src/registry/folder-registry.ts'
import type { RegistryChange } from '../../src/registry/registry.ts'
import { FolderStore } from '../../src/store/folder-store.ts'
import { SourceFolder } from '../support/source-folder.ts'

/** Less than a thread takes to start, so that what was written before has settled when it looks first. */
const SETTLE_MS = 10

let folder: SourceFolder
let registry: FolderRegistry
let events: EventTarget

beforeEach(() => {
  folder = new SourceFolder()
  events = new EventTarget()
  registry = new FolderRegistry({
    models: folder.path,
    pollMs: 50,
    settleMs: SETTLE_MS,
    defaults: { batching: 'auto', maxRows: 64, maxDelayMs: 0, intraOpThreads: 1 },
    clock: systemClock,
    onEvent: (name) => events.dispatchEvent(new Event(name)),
  })
})
afterEach(async () => {
  await registry.close()
  await folder[Symbol.asyncDispose]()
})

/** The next change that `isWanted`. */
function change(isWanted: (change: RegistryChange) => boolean): Promise<RegistryChange> {
  return new Promise((resolve) => {
    const leave = registry.onChange((told) => {
      if (!isWanted(told)) return
      leave()
      resolve(told)
    })
  })
}

function event(name: string): Promise<Event> {
  return new Promise((resolve) => {
    events.addEventListener(name, resolve, { once: true })
  })
}

describe('FolderRegistry with its scanner in a thread', () => {
  it('finds what is there, and what comes, changes and goes', async () => {
    await folder.writeVersion('acme/churn', '1')
    const first = change(({ kind }) => kind === 'added')
    await registry.start()
    assert.equal((await first).version.key, registry.resolve({ name: 'acme/churn' }).key)
    await registry.initialScan

    const added = change(({ version }) => version.version === '2')
    await folder.writeVersion('acme/churn', '2')
    assert.equal((await added).kind, 'added')
    assert.equal(registry.resolve({ name: 'acme/churn' }).version, '2')

    const changed = change(({ kind }) => kind === 'changed')
    await folder.writeVersion('acme/churn', '2', 'other bytes')
    assert.equal((await changed).version.bytes, 11)

    const removed = change(({ kind }) => kind === 'removed')
    await folder.remove('acme/churn/2')
    assert.equal((await removed).version.version, '2')
    assert.equal(registry.resolve({ name: 'acme/churn' }).version, '1')
  })

  it('hands the store versions that it can stage', async () => {
    await folder.writeVersion('churn', '1', 'graph')
    await folder.write('churn/1/weights.bin', 'weights')
    const added = change(() => true)
    await registry.start()
    const { version } = await added
    const store = new FolderStore({ models: folder.path, allowHardLinks: false, settleMs: SETTLE_MS })
    const staged = await store.stage(version)
    assert.equal(staged.bytes, 12)
    assert.equal(staged.bytes, version.bytes)
    assert.equal(await staged.isUnchanged(), true)
  })

  it('answers for a name that was asked for while a thousand others wait to be read', async () => {
    const names = Array.from({ length: 1000 }, (_, index) => `tenant-${index % 10}/model-${index}`)
    for (const name of names) await folder.writeVersion(name)
    const order: string[] = []
    registry.onChange(({ version }) => order.push(version.name))
    await registry.start()
    assert.throws(
      () => registry.resolve({ name: 'tenant-9/model-999' }),
      (error: unknown) => error instanceof GatewayError && error.code === 'MODEL_LOADING',
    )
    await registry.initialScan
    while (order.length < names.length) await change(() => true)
    assert.ok(order.indexOf('tenant-9/model-999') < 10, `it was number ${order.indexOf('tenant-9/model-999')}`)
    assert.deepEqual(registry.size, { models: 1000, versions: 1000 })
  })

  it('outlives its folder', async () => {
    await folder.writeVersion('churn')
    const added = change(() => true)
    await registry.start()
    await added
    const lost = event('registry.root_lost')
    await rename(folder.path, `${folder.path}-away`)
    await lost
    assert.equal(registry.resolve({ name: 'churn' }).version, '1')
    const found = event('registry.root_found')
    await rename(`${folder.path}-away`, folder.path)
    await found
    assert.equal(registry.resolve({ name: 'churn' }).version, '1')
  })

  it('closes idle, before it began, while it reads, and twice', async () => {
    await registry.close()
    for (let i = 0; i < 200; i++) await folder.writeVersion(`model-${i}`)
    const busy = new FolderRegistry({
      models: folder.path,
      pollMs: 50,
      settleMs: 0,
      defaults: { batching: 'auto', maxRows: 64, maxDelayMs: 0, intraOpThreads: 1 },
      clock: systemClock,
    })
    await busy.start()
    await Promise.all([busy.close(), busy.close(), busy.initialScan])
  })
})
