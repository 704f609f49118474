import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Rollouts } from '../../../src/control/rollout.ts'
import { GatewayError } from '../../../src/domain/errors.ts'
import type { ModelRef } from '../../../src/domain/model-ref.ts'
import type { ModelVersion } from '../../../src/domain/model-version.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { modelVersion } from '../../support/model-version.ts'

const ONE = modelVersion('acme/churn', '1')
const TWO = modelVersion('acme/churn', '2')
const THREE = modelVersion('acme/churn', '3')
const LATEST = { name: 'acme/churn' }

/** A registry whose latest version the test sets, and loads that end when the test says so. */
class Scene {
  versions: ModelVersion[] = [ONE]
  aliases: Record<string, string> = {}
  readonly resident = new Set<string>()
  readonly retired: string[] = []
  moves = 0
  readonly events: string[] = []
  readonly clock = new ManualClock()
  readonly loads = new Map<string, PromiseWithResolvers<void>>()
  readonly rollouts = new Rollouts({
    resolve: (ref) => this.#resolve(ref),
    aliasesOf: () => Object.keys(this.aliases),
    isResident: (key) => this.resident.has(key),
    load: (version) => {
      const load = this.loads.get(version.key) ?? Promise.withResolvers<void>()
      this.loads.set(version.key, load)
      return load.promise
    },
    retire: (key) => this.retired.push(key),
    onMoved: () => this.moves++,
    retry: { baseMs: 1000, maxMs: 60_000 },
    clock: this.clock,
    random: () => 0,
    onEvent: (name) => this.events.push(name),
  })

  becomeResident(version: ModelVersion): void {
    this.resident.add(version.key)
    this.rollouts.watch(version)
  }

  async endLoad(version: ModelVersion, error?: Error): Promise<void> {
    const load = this.loads.get(version.key)
    assert.ok(load, `${version.key} is being loaded`)
    // The replica tells of a resident model before whoever asked for it learns that it is open.
    if (error === undefined) {
      this.becomeResident(version)
      load.resolve()
    } else load.reject(error)
    this.loads.delete(version.key)
    await new Promise((resolve) => setImmediate(resolve))
  }

  #resolve(ref: ModelRef): ModelVersion {
    const number = ref.alias === undefined ? ref.version : this.aliases[ref.alias]
    const found = number === undefined ? this.versions.at(-1) : this.versions.find(({ version }) => version === number)
    if (found === undefined) throw new GatewayError('VERSION_NOT_FOUND', 'gone')
    return found
  }
}

describe('a rollout', () => {
  it('keeps the old version of a resident model serving until the new one is loaded, then lets it go', async () => {
    const scene = new Scene()
    scene.becomeResident(ONE)
    scene.versions.push(TWO)
    scene.rollouts.refresh('acme/churn')
    assert.equal(scene.rollouts.resolve(LATEST).key, ONE.key)
    await scene.endLoad(TWO)
    assert.equal(scene.rollouts.resolve(LATEST).key, TWO.key)
    assert.deepEqual(scene.events, ['rollout.started', 'rollout.done'])
    // Version 1 can still be asked for by its number: it stays until the memory is wanted.
    assert.deepEqual(scene.retired, [])
  })

  it('keeps watching the name afterwards: the next version is made ready before the switch as well', async () => {
    const scene = new Scene()
    scene.becomeResident(ONE)
    scene.versions.push(TWO)
    scene.rollouts.refresh('acme/churn')
    await scene.endLoad(TWO)
    assert.equal(scene.moves, 1)
    scene.versions.push(THREE)
    scene.rollouts.refresh('acme/churn')
    assert.equal(scene.rollouts.resolve(LATEST).key, TWO.key)
    await scene.endLoad(THREE)
    assert.equal(scene.rollouts.resolve(LATEST).key, THREE.key)
  })

  it('is not ended by a change that comes between the new version being resident and being open', async () => {
    const scene = new Scene()
    scene.becomeResident(ONE)
    scene.versions.push(TWO)
    scene.rollouts.refresh('acme/churn')
    scene.becomeResident(TWO)
    scene.rollouts.refresh('acme/churn')
    assert.equal(scene.rollouts.resolve(LATEST).key, ONE.key)
    await scene.endLoad(TWO)
    assert.equal(scene.rollouts.resolve(LATEST).key, TWO.key)
  })

  it('lets the old bytes of a version go once the changed ones serve', async () => {
    const scene = new Scene()
    const changed = modelVersion('acme/churn', '1', 'other-bytes')
    scene.becomeResident(ONE)
    scene.versions = [changed]
    scene.rollouts.refresh('acme/churn')
    assert.equal(scene.rollouts.resolve({ name: 'acme/churn', version: '1' }).key, ONE.key)
    await scene.endLoad(changed)
    assert.deepEqual(scene.retired, [ONE.key])
    assert.equal(scene.rollouts.underWay, 0)
  })

  it('leaves the old version serving when the new one cannot be loaded, until the registry has a better one', async () => {
    const scene = new Scene()
    scene.becomeResident(ONE)
    scene.versions.push(TWO)
    scene.rollouts.refresh('acme/churn')
    await scene.endLoad(TWO, new GatewayError('ARTIFACT_INVALID', 'not ONNX'))
    assert.equal(scene.rollouts.resolve(LATEST).key, ONE.key)
    assert.deepEqual(scene.events, ['rollout.started', 'rollout.failed'])
    assert.equal(scene.clock.pendingTimers, 0, 'the same bytes stay what they are')
    scene.versions.push(THREE)
    scene.rollouts.refresh('acme/churn')
    await scene.endLoad(THREE)
    assert.equal(scene.rollouts.resolve(LATEST).key, THREE.key)
  })

  it('to a version that is quarantined leaves the old one serving, and is tried again when that is released', async () => {
    const scene = new Scene()
    scene.becomeResident(ONE)
    scene.versions.push(TWO)
    scene.rollouts.refresh('acme/churn')
    scene.rollouts.again(TWO.key)
    await scene.endLoad(TWO, new GatewayError('MODEL_QUARANTINED', 'it crashed twice'))
    assert.equal(scene.rollouts.resolve(LATEST).key, ONE.key)
    assert.deepEqual(scene.events, ['rollout.started', 'rollout.failed'])
    scene.rollouts.again(THREE.key)
    scene.rollouts.again(TWO.key)
    await scene.endLoad(TWO)
    assert.equal(scene.rollouts.resolve(LATEST).key, TWO.key)
    assert.equal(scene.rollouts.underWay, 0)
  })

  it('is tried again, later each time, when it failed for a reason that may pass', async () => {
    const scene = new Scene()
    scene.becomeResident(ONE)
    scene.versions.push(TWO)
    scene.rollouts.refresh('acme/churn')
    for (const waitMs of [500, 1000, 2000]) {
      await scene.endLoad(TWO, new GatewayError('STORE_UNAVAILABLE', 'no answer'))
      assert.equal(scene.rollouts.resolve(LATEST).key, ONE.key)
      await scene.clock.advance(waitMs - 1)
      assert.equal(scene.loads.size, 0)
      await scene.clock.advance(1)
    }
    await scene.endLoad(TWO)
    assert.equal(scene.rollouts.resolve(LATEST).key, TWO.key)
    assert.equal(scene.clock.pendingTimers, 0)
  })

  it('is not tried again for a version that was superseded, for a model that left, or after the end', async () => {
    const ends: ReadonlyArray<(scene: Scene) => void> = [
      (scene) => {
        scene.versions.push(THREE)
        scene.rollouts.refresh('acme/churn')
      },
      (scene) => scene.rollouts.forget(ONE),
      (scene) => scene.rollouts.close(),
    ]
    for (const end of ends) {
      const scene = new Scene()
      scene.becomeResident(ONE)
      scene.versions.push(TWO)
      scene.rollouts.refresh('acme/churn')
      await scene.endLoad(TWO, new GatewayError('STORE_UNAVAILABLE', 'no answer'))
      assert.equal(scene.clock.pendingTimers, 1)
      end(scene)
      assert.equal(scene.clock.pendingTimers, 0)
    }
    const closed = new Scene()
    closed.becomeResident(ONE)
    closed.versions.push(TWO)
    closed.rollouts.refresh('acme/churn')
    closed.rollouts.close()
    await closed.endLoad(TWO, new GatewayError('STORE_UNAVAILABLE', 'no answer'))
    assert.equal(closed.clock.pendingTimers, 0)
  })

  it('goes straight to the newest when a newer version comes while one is being loaded', async () => {
    const scene = new Scene()
    scene.becomeResident(ONE)
    scene.versions.push(TWO)
    scene.rollouts.refresh('acme/churn')
    scene.versions.push(THREE)
    scene.rollouts.refresh('acme/churn')
    await scene.endLoad(TWO)
    assert.equal(scene.rollouts.resolve(LATEST).key, ONE.key)
    await scene.endLoad(THREE)
    assert.equal(scene.rollouts.resolve(LATEST).key, THREE.key)
  })

  it('moves an alias like the latest version', async () => {
    const scene = new Scene()
    scene.versions = [ONE, TWO]
    scene.aliases = { champion: '1' }
    scene.becomeResident(ONE)
    scene.aliases = { champion: '2' }
    scene.rollouts.refresh('acme/churn')
    assert.equal(scene.rollouts.resolve({ name: 'acme/churn', alias: 'champion' }).key, ONE.key)
    await scene.endLoad(TWO)
    assert.equal(scene.rollouts.resolve({ name: 'acme/churn', alias: 'champion' }).key, TWO.key)
  })

  it('does nothing for a cold model, and forgets one that was evicted meanwhile', () => {
    const scene = new Scene()
    scene.versions.push(TWO)
    scene.rollouts.refresh('acme/churn')
    assert.equal(scene.loads.size, 0)
    scene.versions = [ONE]
    scene.becomeResident(ONE)
    scene.versions.push(TWO)
    scene.rollouts.refresh('acme/churn')
    scene.rollouts.forget(ONE)
    assert.equal(scene.rollouts.resolve(LATEST).key, TWO.key)
    assert.equal(scene.rollouts.underWay, 0)
  })

  it('lets a version go that the registry has no more', () => {
    const scene = new Scene()
    scene.becomeResident(ONE)
    scene.versions = []
    scene.rollouts.refresh('acme/churn')
    assert.deepEqual(scene.retired, [ONE.key])
  })
})
