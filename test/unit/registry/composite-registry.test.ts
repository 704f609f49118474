import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { CompositeRegistry } from '../../../src/registry/composite-registry.ts'
import type { RegistryChange } from '../../../src/registry/registry.ts'
import { CompositeRig } from '../../support/composite-rig.ts'

let rig: CompositeRig

beforeEach(() => {
  rig = new CompositeRig()
})
afterEach(() => rig[Symbol.asyncDispose]())

function told(): unknown[] {
  return rig.events.filter(([name]) => name === 'registry.foreign_names').map(([, fields]) => fields)
}

describe('several registries as one', () => {
  it('have the names under their prefixes only, and tell once of what else they list', async () => {
    const { registry, acme, others } = rig
    const changes: RegistryChange[] = []
    registry.onChange((change) => changes.push(change))
    await acme.folder.writeVersion('acme/churn', '1')
    await acme.folder.writeVersion('bolt/churn', '9', 'of somebody else')
    await acme.folder.writeVersion('bolt/churn', '10', 'of somebody else')
    await others.folder.writeVersion('bolt/churn', '1')
    await others.folder.writeVersion('acme/churn', '9', 'of somebody else')
    await others.folder.writeVersion('acme/fraud', '1', 'of somebody else')
    await registry.start()
    acme.scanner.scan()
    others.scanner.scan()
    await registry.initialScan
    assert.equal(registry.resolve({ name: 'acme/churn' }).version, '1')
    assert.equal(registry.resolve({ name: 'bolt/churn' }).version, '1')
    assert.throws(() => registry.resolve({ name: 'acme/fraud' }), { code: 'MODEL_NOT_FOUND' })
    assert.deepEqual(registry.versionsOf('acme/fraud'), [])
    assert.deepEqual(registry.names().toSorted(), ['acme/churn', 'bolt/churn'])
    assert.deepEqual(Array.from(registry.list(), ({ name, version }) => `${name}:${version}`).toSorted(), [
      'acme/churn:1',
      'bolt/churn:1',
    ])
    assert.deepEqual(registry.size, { models: 2, versions: 2 })
    assert.deepEqual(changes.map(({ kind, version }) => `${kind} ${version.key}`).toSorted(), [
      `added ${registry.resolve({ name: 'acme/churn' }).key}`,
      `added ${registry.resolve({ name: 'bolt/churn' }).key}`,
    ])
    assert.deepEqual(told(), [
      { prefix: 'acme', names: 1, one: 'bolt/churn' },
      { prefix: '', names: 2, one: 'acme/churn' },
    ])
    await acme.folder.writeVersion('cobalt/churn')
    await rig.poll()
    assert.equal(told().length, 2)
    await acme.folder.remove('bolt')
    await acme.folder.remove('cobalt')
    await rig.poll()
    assert.deepEqual(registry.size, { models: 2, versions: 2 })
  })

  it('say of a name that comes later that it is not theirs', async () => {
    await rig.registry.start()
    rig.acme.scanner.scan()
    await rig.acme.registry.initialScan
    assert.deepEqual(told(), [])
    await rig.acme.folder.writeVersion('bolt/churn')
    await rig.poll()
    assert.deepEqual(told(), [{ prefix: 'acme', names: 1, one: 'bolt/churn' }])
  })

  it('answer for their names while another never does', async () => {
    const { registry, others } = rig
    await others.folder.writeVersion('bolt/churn')
    await registry.start()
    others.scanner.scan()
    assert.equal(registry.resolve({ name: 'bolt/churn' }).version, '1')
    assert.deepEqual([registry.hasScanned('bolt/churn'), registry.hasScanned('acme/churn')], [true, false])
    assert.throws(() => registry.resolve({ name: 'acme/churn' }), { code: 'MODEL_LOADING' })
  })

  it('do not have a name for which there is no prefix', async () => {
    const registry = new CompositeRegistry([{ prefix: 'acme', registry: rig.acme.registry }], () => {})
    await registry.start()
    rig.acme.scanner.scan()
    assert.throws(() => registry.resolve({ name: 'bolt/churn' }), { code: 'MODEL_NOT_FOUND' })
    assert.deepEqual([registry.versionsOf('bolt/churn'), registry.aliasesOf('bolt/churn').size], [[], 0])
    assert.equal(registry.hasScanned('bolt/churn'), true)
  })

  it('cease to tell whoever does not listen any more', async () => {
    const changes: RegistryChange[] = []
    const end = rig.registry.onChange((change) => changes.push(change))
    end()
    await rig.others.folder.writeVersion('bolt/churn')
    await rig.registry.start()
    rig.others.scanner.scan()
    assert.deepEqual(changes, [])
  })
})
