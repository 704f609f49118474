/** What every registry does alike, whatever it reads from. */
import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { type ErrorCode, GatewayError } from '../../src/domain/errors.ts'
import type { ModelRef } from '../../src/domain/model-ref.ts'
import type { Registry, RegistryChange } from '../../src/registry/registry.ts'

/** A registry and the hands of those who publish to it. Not started yet. */
export interface RegistryStage {
  readonly registry: Registry
  publish(name: string, version: string, content: string): Promise<void>
  retract(name: string, version: string): Promise<void>
  setAliases(name: string, aliases: Readonly<Record<string, string>>): Promise<void>
  /** Resolves when the registry knows everything that was done before. */
  refresh(): Promise<void>
  /** Resolves when a registry that looks for names it does not know has done so for this one. */
  looked?(name: string): Promise<void>
  /** Closes the registry and removes what was published. */
  dispose(): Promise<void>
}

/** Why a registry cannot do what others can. */
export interface RegistryLimits {
  readonly sizes?: string
}

export function registryContract(
  label: string,
  setStage: () => Promise<RegistryStage>,
  cannot: RegistryLimits = {},
): void {
  describe(`registry contract: ${label}`, () => {
    let stage: RegistryStage
    let registry: Registry
    const changes: RegistryChange[] = []

    beforeEach(async () => {
      changes.length = 0
      stage = await setStage()
      registry = stage.registry
      registry.onChange((change) => changes.push(change))
      await registry.start()
      await stage.refresh()
      await registry.initialScan
    })
    afterEach(() => stage.dispose())

    it('serves the latest version by number when none is asked for', async () => {
      for (const version of ['9', '10', '2']) await stage.publish('acme/churn', version, `v${version}`)
      await stage.refresh()
      const version = registry.resolve({ name: 'acme/churn' })
      assert.equal(version.version, '10')
      assert.equal(version.name, 'acme/churn')
      assert.equal(version.tenant, 'acme')
      assert.equal(version.key, `acme/churn:10#${version.sourceId}`)
      assert.deepEqual(
        registry.versionsOf('acme/churn').map((known) => known.version),
        ['2', '9', '10'],
      )
    })

    it('tells how many bytes a version has', { skip: cannot.sizes ?? false }, async () => {
      await stage.publish('churn', '1', 'one')
      await stage.refresh()
      assert.equal(registry.resolve({ name: 'churn' }).bytes, 3)
    })

    it('serves a version that is asked for, and a version by its alias, also after the alias moved', async () => {
      for (const version of ['1', '2']) await stage.publish('churn', version, `v${version}`)
      await stage.setAliases('churn', { champion: '1', next: '2' })
      await stage.refresh()
      assert.equal(registry.resolve({ name: 'churn', version: '1' }).version, '1')
      assert.equal(registry.resolve({ name: 'churn', alias: 'champion' }).version, '1')
      assert.deepEqual(Object.fromEntries(registry.aliasesOf('churn')), { champion: '1', next: '2' })
      await stage.setAliases('churn', { champion: '2' })
      await stage.refresh()
      assert.equal(registry.resolve({ name: 'churn', alias: 'champion' }).version, '2')
      assert.deepEqual(Object.fromEntries(registry.aliasesOf('churn')), { champion: '2' })
    })

    it('tells that aliases came, moved or went, and nothing while they stay', async () => {
      for (const version of ['1', '2']) await stage.publish('churn', version, `v${version}`)
      await stage.refresh()
      changes.length = 0
      for (const aliases of [{ champion: '1' }, { champion: '2' }, {}]) {
        await stage.setAliases('churn', aliases)
        await stage.refresh()
        await stage.refresh()
        assert.deepEqual(changes.splice(0), [{ kind: 'aliases', version: registry.resolve({ name: 'churn' }) }])
      }
    })

    it('says which of name, version and alias it does not know', async () => {
      await stage.publish('acme/churn', '1', 'one')
      await stage.setAliases('acme/churn', { champion: '1', lost: '5' })
      await stage.refresh()
      await refuses({ name: 'acme/chrun' }, 'MODEL_NOT_FOUND', /'acme\/chrun'.*'acme\/churn'/)
      await refuses({ name: 'acme/churn', version: '2' }, 'VERSION_NOT_FOUND', /no version 2.*1/)
      await refuses({ name: 'acme/churn', alias: 'chapmion' }, 'ALIAS_NOT_FOUND', /no alias 'chapmion'.*'champion'/)
      await refuses({ name: 'acme/churn', alias: 'lost' }, 'ALIAS_NOT_FOUND', /names version 5, which does not exist/)
    })

    it('is not taken in by names that every object has', async () => {
      for (const name of ['constructor', '__proto__', 'toString']) {
        await refuses({ name }, 'MODEL_NOT_FOUND', /there is no model/)
        assert.equal(registry.aliasesOf(name).size, 0)
        assert.equal(registry.versionsOf(name).length, 0)
      }
    })

    it('tells of versions that come and go, and resolves accordingly when it tells', async () => {
      const seen: Array<string | undefined> = []
      registry.onChange(({ kind, version }) =>
        seen.push(kind === 'removed' ? undefined : registry.resolve({ name: version.name }).key),
      )
      await stage.publish('churn', '1', 'one')
      await stage.refresh()
      const first = registry.resolve({ name: 'churn' })
      await stage.publish('churn', '2', 'two')
      await stage.refresh()
      await stage.retract('churn', '2')
      await stage.refresh()
      assert.equal(registry.resolve({ name: 'churn' }), first)
      await stage.retract('churn', '1')
      await stage.refresh()
      await refuses({ name: 'churn' }, 'MODEL_NOT_FOUND', /churn/)
      assert.deepEqual(
        changes.map(({ kind, version }) => `${kind} ${version.version}`),
        ['added 1', 'added 2', 'removed 2', 'removed 1'],
      )
      assert.deepEqual(seen.slice(0, 2), [first.key, `churn:2#${changes[1]?.version.sourceId}`])
      assert.deepEqual(registry.names(), [])
    })

    it('gives other bytes under the same version another key, and tells both', async () => {
      await stage.publish('churn', '1', 'before')
      await stage.refresh()
      const before = registry.resolve({ name: 'churn' })
      await stage.publish('churn', '1', 'afterwards')
      await stage.refresh()
      const after = registry.resolve({ name: 'churn' })
      assert.notEqual(after.key, before.key)
      assert.deepEqual(changes.at(-1), { kind: 'changed', version: after, previous: before })
    })

    it('gives the same object while nothing changed', async () => {
      await stage.publish('churn', '1', 'one')
      await stage.refresh()
      const version = registry.resolve({ name: 'churn' })
      await stage.publish('other', '1', 'one')
      await stage.refresh()
      assert.equal(registry.resolve({ name: 'churn', version: '1' }), version)
      assert.equal(changes.length, 2)
    })

    it('lists every version of every model', async () => {
      for (const [name, version] of [
        ['a', '1'],
        ['a', '2'],
        ['b/c', '1'],
      ] as const)
        await stage.publish(name, version, 'x')
      await stage.refresh()
      assert.deepEqual([...registry.list()].map((version) => `${version.name}:${version.version}`).toSorted(), [
        'a:1',
        'a:2',
        'b/c:1',
      ])
      assert.deepEqual(registry.names().toSorted(), ['a', 'b/c'])
    })

    it('keeps telling the others when one listener fails, and stops telling who left', async () => {
      const told: string[] = []
      const leave = registry.onChange(() => told.push('left'))
      registry.onChange(() => {
        throw new Error('a listener with a bug')
      })
      registry.onChange(({ kind }) => told.push(kind))
      leave()
      await stage.publish('churn', '1', 'one')
      await stage.refresh()
      assert.deepEqual(told, ['added'])
    })

    it('keeps answering from memory after it was closed, twice', async () => {
      await stage.publish('churn', '1', 'one')
      await stage.refresh()
      await registry.close()
      await registry.close()
      assert.equal(registry.resolve({ name: 'churn' }).version, '1')
    })

    async function refuses(ref: ModelRef, code: ErrorCode, message: RegExp): Promise<void> {
      await stage.looked?.(ref.name)
      assert.throws(
        () => registry.resolve(ref),
        (error: unknown) => {
          assert.ok(error instanceof GatewayError)
          assert.equal(error.code, code)
          assert.match(error.message, message)
          assert.equal(error.facts.model, ref.name)
          return true
        },
      )
    }
  })
}
