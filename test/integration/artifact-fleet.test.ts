/** Artifacts handed from machine to machine over a place in memory, with real compilers: what is taken over, and what is not. */
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { describe, it } from 'node:test'
import { modelClass, type Rng } from '../../loadtest/models/index.ts'
import type { ArtifactStoreOptions } from '../../src/artifact/artifact-store.ts'
import { FleetTrouble } from '../../src/artifact/fleet-place.ts'
import type { Manifest } from '../../src/domain/artifact.ts'
import { problemsIn, stagedIn } from '../support/artifact/folder-facts.ts'
import { FLEET_LIMITS, MemoryPlace } from '../support/artifact/memory-place.ts'
import { assertAnswers, StoreFixture } from '../support/artifact/store-fixture.ts'

const S = modelClass('S')

/** From the hundredth on customers share no tensors. */
function customer(one: number) {
  const recipe = { customer: one, family: one < 100 ? 'head' : 'full', seed: 1 } as const
  return {
    model: S.build(recipe),
    inputs: (rng: Rng, batch: number) => S.sampleInputs(rng, batch),
    expected: (inputs: Parameters<typeof S.expected>[1]) => S.expected(recipe, inputs),
  }
}

/** A machine of its own: another cache folder, the same place. */
function machine(t: TestContext, place: MemoryPlace, limits: Partial<typeof FLEET_LIMITS> = {}) {
  const fixture = new StoreFixture(t)
  const fleet = { place, sends: true, limits: { ...FLEET_LIMITS, ...limits } }
  return {
    fixture,
    open: (options: Partial<ArtifactStoreOptions> = {}) => fixture.open({ fleet, ...options }),
    compiles: () => fixture.events.filter(({ name }) => name === 'artifact.compiled').length,
    said: (event: string) => fixture.events.filter(({ name }) => name === event).map(({ fields }) => fields),
  }
}

/** A place that one machine has filled. */
async function filled(t: TestContext, customers: readonly number[] = [1]): Promise<MemoryPlace> {
  const place = new MemoryPlace()
  const first = machine(t, place)
  const store = await first.open()
  for (const one of customers) await store.compile(await first.fixture.source(customer(one).model))
  await store.fleet?.idle()
  assert.equal(place.keys('artifacts/', '/manifest.json').length, customers.length)
  await store.close()
  place.calls.length = 0
  return place
}

/** What a machine finds there of the first customer it does not take, the model is compiled and right, and the next machine takes it. */
async function assertCompiledAndMended(t: TestContext, place: MemoryPlace): Promise<void> {
  const second = machine(t, place)
  const store = await second.open()
  const { manifest } = await store.compile(await second.fixture.source(customer(1).model))
  assert.equal(second.compiles(), 1)
  await assertAnswers(store, manifest, customer(1))
  assert.deepEqual(
    second.said('fleet.fetch-failed').map(({ outcome }) => outcome),
    ['wrong'],
  )
  await store.fleet?.idle()
  const third = machine(t, place)
  const other = await third.open()
  await other.compile(await third.fixture.source(customer(1).model))
  assert.equal(third.compiles(), 0, 'it is mended')
}

describe('artifacts of a fleet', () => {
  it('are taken over by a machine that has never compiled, and answer', async (t) => {
    const place = await filled(t)
    const second = machine(t, place)
    const store = await second.open()
    const source = await second.fixture.source(customer(1).model)
    const { manifest, isFetched } = await store.compile(source)
    assert.equal(isFetched, true)
    assert.equal(second.compiles(), 0)
    await assertAnswers(store, manifest, customer(1))
    assert.deepEqual(store.find(source.sourceId), manifest)
    assert.equal(await store.checkFiles(manifest), true)
    assert.deepEqual(await store.verify(manifest.artifact), [])
    assert.deepEqual([...(store.fleet?.lookups ?? [])], [['hit', 1]])
    assert.deepEqual(problemsIn(second.fixture.cache), [])
    assert.ok(!stagedIn(second.fixture.cache).some((path) => path.startsWith('fleet-')))
    // Read-only, as those are that were compiled here.
    assert.equal(statSync(store.fileOf(manifest)).mode & 0o222, 0)
  })

  it('bring only the tensors that are not here', async (t) => {
    const place = await filled(t, [1, 2])
    const second = machine(t, place)
    const store = await second.open()
    const [one, two] = [await second.fixture.source(customer(1).model), await second.fixture.source(customer(2).model)]
    await store.compile(one)
    const whole = place.readBytes
    await store.compile(two)
    const rest = place.readBytes - whole
    assert.ok(rest < 0.15 * whole, `${rest} of ${whole} bytes again`)
    assert.equal(second.compiles(), 0)
    const { manifest } = await store.compile(two)
    await assertAnswers(store, manifest, customer(2))
  })

  it('are not believed where an object is not what its name says, and are mended by who compiles', async (t) => {
    const place = await filled(t)
    const [blob = ''] = place.keys('blobs/')
    const content = Buffer.from(place.objects.get(blob) ?? '')
    content[content.length >> 1] = (content[content.length >> 1] ?? 0) ^ 1
    place.objects.set(blob, content)
    await assertCompiledAndMended(t, place)
  })

  it('are not believed where a graph names tensors that its manifest does not, or has other outputs', async (t) => {
    const place = await filled(t, [1, 100])
    const [one = '', two = ''] = place.keys('artifacts/', '/manifest.json')
    const manifest = JSON.parse(place.objects.get(one)?.toString() ?? '') as Manifest
    const other = JSON.parse(place.objects.get(two)?.toString() ?? '') as Manifest
    const graph = place.objects.get(two.replace('manifest.json', other.graph.digest)) ?? Buffer.of()
    place.objects.set(one.replace('manifest.json', other.graph.digest), graph)
    place.objects.set(one, Buffer.from(JSON.stringify({ ...manifest, graph: other.graph })))
    await assertCompiledAndMended(t, place)
    const outputs = manifest.signature.outputs.map((output) => ({ ...output, name: 'another' }))
    const signature = { ...manifest.signature, outputs }
    place.objects.set(one, Buffer.from(JSON.stringify({ ...manifest, signature })))
    await assertCompiledAndMended(t, place)
  })

  it('are compiled here when the place does not answer, which is found out three times and no more', async (t) => {
    const place = await filled(t)
    place.trouble = new FleetTrouble('unavailable', 'it does not answer')
    const second = machine(t, place)
    const store = await second.open({ fleet: { place, sends: false, limits: FLEET_LIMITS } })
    for (let one = 1; one <= 5; one++) await store.compile(await second.fixture.source(customer(one).model))
    assert.equal(second.compiles(), 5)
    assert.equal(place.calls.length, 3)
    assert.deepEqual(
      [...(store.fleet?.lookups ?? [])],
      [
        ['unavailable', 3],
        ['skipped', 2],
      ],
    )
    assert.equal(second.said('fleet.left-alone').length, 1)
  })

  it('are compiled here when they take too long to come', async (t) => {
    const place = await filled(t)
    place.isStuck = () => true
    const second = machine(t, place, { lookupMs: 20 })
    const store = await second.open()
    await store.compile(await second.fixture.source(customer(1).model))
    assert.equal(second.compiles(), 1)
    assert.deepEqual([...(store.fleet?.lookups ?? [])], [['late', 1]])
  })

  it('are taken over while a compile of the same tenant holds the compiler', async (t) => {
    const place = await filled(t)
    const { promise: mayRead, resolve: letRead } = Promise.withResolvers<void>()
    const read = place.read.bind(place)
    place.read = async (...args) => {
      await mayRead
      return await read(...args)
    }
    const second = machine(t, place)
    const store = await second.open()
    const fetched = store.compile(await second.fixture.source(customer(1).model))
    await place.asked('/manifest.json')
    const { promise: isHeld, resolve: held } = Promise.withResolvers<void>()
    const { promise: mayEnd, resolve: letEnd } = Promise.withResolvers<boolean>()
    const isUnchanged = () => {
      held()
      return mayEnd
    }
    const compiled = store.compile(await second.fixture.source(customer(2).model, {}, { isUnchanged }))
    await isHeld
    letRead()
    assert.equal((await fetched).isFetched, true)
    letEnd(true)
    await compiled
  })

  it('are brought once for all who ask at the same time', async (t) => {
    const place = await filled(t)
    const second = machine(t, place)
    const store = await second.open()
    const sources = await Promise.all([1, 1, 1].map((one) => second.fixture.source(customer(one).model)))
    const all = await Promise.all(sources.map((source) => store.compile(source)))
    assert.deepEqual(
      all.map(({ isFetched }) => isFetched),
      [true, true, true],
    )
    assert.equal(place.calls.filter((call) => call.endsWith('/manifest.json') && call.startsWith('read')).length, 1)
  })

  it('are sent once: a machine that compiled the same meanwhile sends nothing of it', async (t) => {
    const place = new MemoryPlace()
    const [one, two] = [machine(t, place), machine(t, place)]
    const [first, second] = [await one.open(), await two.open()]
    await Promise.all([
      first.compile(await one.fixture.source(customer(1).model)),
      second.compile(await two.fixture.source(customer(1).model)),
    ])
    await first.fleet?.idle()
    const puts = place.calls.filter((call) => call.startsWith('put')).length
    assert.ok(puts >= place.objects.size)
    await second.fleet?.idle()
    const third = machine(t, place)
    const store = await third.open()
    await store.compile(await third.fixture.source(customer(1).model))
    assert.equal(third.compiles(), 0)
  })

  it('are others for another CPU, another build of the engine, or another setting', async (t) => {
    const place = await filled(t)
    const second = machine(t, place)
    const store = await second.open({ minBlobBytes: 128 * 2 ** 10 })
    await store.compile(await second.fixture.source(customer(1).model))
    assert.equal(second.compiles(), 1)
    assert.deepEqual([...(store.fleet?.lookups ?? [])], [['miss', 1]])
  })

  it('carry what was measured of them', async (t) => {
    const place = new MemoryPlace()
    const first = machine(t, place)
    const store = await first.open()
    const source = await first.fixture.source(customer(1).model)
    const { manifest } = await store.compile(source)
    const { probe } = await store.probe(manifest.artifact, source)
    await store.fleet?.idle()
    const second = machine(t, place)
    const other = await second.open()
    const taken = await other.compile(await second.fixture.source(customer(1).model))
    assert.ok(probe !== undefined)
    assert.deepEqual(taken.manifest.probe, probe)
  })
})
