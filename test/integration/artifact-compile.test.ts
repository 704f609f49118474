/** Sources become artifacts: real ONNX files, real compiler children, answers held against plain arithmetic. */
import assert from 'node:assert/strict'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { modelClass } from '../../loadtest/models/index.ts'
import {
  branches,
  constantNode,
  functionWithBranches,
  functionWithConstant,
  identity,
  nested,
  repeated,
  reshaped,
  SIDECARS,
  scanned,
  sidecar,
  slow,
  sumAndDifference,
} from '../../loadtest/models/special/index.ts'
import { GatewayError } from '../../src/domain/errors.ts'
import { assertAnswers, StoreFixture } from '../support/artifact/store-fixture.ts'

const xs = (customer: number) => modelClass('XS').build({ customer, family: 'head', seed: 1 })

const SHAPES = {
  branches,
  repeated,
  scanned,
  nested: () => nested(4),
  constantNode,
  functionWithConstant,
  functionWithBranches,
  sumAndDifference,
}

for (const [name, make] of Object.entries(SHAPES)) {
  test(`a model with its weights in ${name} becomes a mapped artifact with the same answers`, async (t) => {
    const fixture = new StoreFixture(t)
    const store = await fixture.open({ minBlobBytes: 16 * 1024 })
    const checked = make()
    const { manifest } = await store.compile(await fixture.source(checked.model))
    assert.equal(manifest.form, 'mapped', manifest.plainReason)
    assert.equal(manifest.check, 'generated')
    if (name !== 'sumAndDifference' && name !== 'nested') assert.ok(manifest.blobs.length > 0, 'no tensor moved')
    await assertAnswers(store, manifest, checked)
  })
}

for (const external of SIDECARS) {
  test(`weights in '${external.file}' beside the model are read from there and become blobs`, async (t) => {
    const fixture = new StoreFixture(t)
    const store = await fixture.open()
    const checked = sidecar()
    const source = await fixture.source(checked.model, { external })
    const { manifest } = await store.compile(source)
    assert.equal(manifest.form, 'mapped', manifest.plainReason)
    assert.equal(manifest.blobs.length, 1)
    await assertAnswers(store, manifest, checked)
  })
}

for (const coding of ['JSON', 'binary tensors'] as const) {
  test(`a model that runs on no made-up inputs is checked on the first request that it answers, sent as ${coding}`, async (t) => {
    const fixture = new StoreFixture(t)
    const store = await fixture.open()
    const source = await fixture.source(reshaped().model)
    const { manifest } = await store.compile(source)
    assert.equal(manifest.check, 'first-request')
    const checked = await store.recheck(source, coding === 'JSON' ? jsonRequest() : binaryRequest())
    assert.deepEqual([checked.check, checked.form, checked.artifact], ['given', 'mapped', manifest.artifact])
    assert.equal(store.find(source.sourceId)?.check, 'given')
    await assertAnswers(store, checked, reshaped(), [2, 8])
  })
}

const SHAPE_INPUT = { name: 'shape', datatype: 'INT64', shape: [2], data: [4, 16] }

function jsonRequest() {
  const data = Array.from({ length: 64 }, (_, i) => i)
  return {
    body: Buffer.from(JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [64], data }, SHAPE_INPUT] })),
  }
}

function binaryRequest() {
  const x = { name: 'x', datatype: 'FP32', shape: [64], parameters: { binary_data_size: 256 } }
  const json = Buffer.from(JSON.stringify({ inputs: [x, SHAPE_INPUT] }))
  const values = Buffer.from(Float32Array.from({ length: 64 }, (_, i) => (i === 5 ? Number.NaN : i)).buffer)
  return { body: Buffer.concat([json, values]), jsonBytes: json.length }
}

test('above the inline limit the engine writes the data file, and its tensors become the same blobs', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open({ inlineLimitBytes: 1024, minBlobBytes: 32 * 1024 })
  const checked = sidecar()
  const { manifest } = await store.compile(await fixture.source(checked.model))
  assert.equal(manifest.form, 'mapped', manifest.plainReason)
  assert.deepEqual(
    manifest.blobs.map((blob) => blob.bytes),
    [4 * 160 * 160],
  )
  await assertAnswers(store, manifest, checked)
})

test('two models of one family share the blobs of their backbone on disk', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  const first = (await store.compile(await fixture.source(xs(1)))).manifest
  const before = store.diskUsage().bytes
  const second = (await store.compile(await fixture.source(xs(2)))).manifest
  assert.notEqual(first.artifact, second.artifact)
  assert.deepEqual(first.blobs, second.blobs)
  assert.equal(store.diskUsage().bytes - before, second.graph.bytes)
})

test('equal bytes under two source ids are compiled once, also when both are asked for at once', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open({ compiler: { smallSlots: 2 } })
  const [a, b] = [await fixture.source(xs(1)), await fixture.source(xs(1))]
  const [first, second] = await Promise.all([store.compile(a), store.compile(b)])
  assert.equal(first.manifest, second.manifest)
  assert.equal(store.diskUsage().artifacts, 1)
  assert.equal(store.find(a.sourceId), store.find(b.sourceId))
})

test('callers of one source share its compile, and one that leaves does not end it for the others', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  const source = await fixture.source(xs(1))
  const leaver = new AbortController()
  const left = store.compile(source, leaver.signal)
  const stayed = store.compile(source)
  leaver.abort(new GatewayError('CLIENT_GONE', 'left'))
  await assert.rejects(left, { code: 'CLIENT_GONE' })
  assert.equal((await stayed).manifest.form, 'mapped')
  assert.equal(fixture.events.filter((event) => event.name === 'artifact.compiled').length, 1)
})

test('a source that changed while it was compiled leaves no artifact and is tried again', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  const source = await fixture.source(xs(1), {}, { isUnchanged: () => Promise.resolve(false) })
  await assert.rejects(store.compile(source), { code: 'MODEL_LOADING' })
  assert.equal(store.find(source.sourceId), undefined)
  assert.equal(store.diskUsage().artifacts, 0)
})

test('half a file that is still being written is a model that loads, not one that is refused', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  const source = await fixture.source(Buffer.from('not yet'), {}, { isUnchanged: () => Promise.resolve(false) })
  await assert.rejects(store.compile(source), { code: 'MODEL_LOADING' })
})

test('the owner’s warm-up requests are the inputs of the check where there are any', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  const data = Array.from({ length: 64 }, (_, i) => i / 64)
  const warmUp = [
    { inputs: [{ name: 'nonsense' }] },
    { inputs: [{ name: 'features', datatype: 'FP32', shape: [1, 64], data }] },
  ]
  const { manifest } = await store.compile(await fixture.source(xs(1), {}, { warmUp }))
  assert.equal(manifest.check, 'given')
})

test('the probe finds a model of independent rows safe to stack, and writes what it measured into the manifest', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  const source = await fixture.source(xs(1))
  const { manifest } = await store.compile(source)
  assert.equal(manifest.probe, undefined)
  const probed = await store.probe(manifest.artifact, source)
  assert.equal(probed.probe?.isBatchSafe, true, probed.probe?.batchReason)
  assert.ok((probed.probe?.privateBytes ?? 0) > 0)
  assert.ok((probed.probe?.runMs ?? 0) > 0)
  assert.ok((probed.probe?.mappings ?? 0) >= 1)
  await store.close()
  const reopened = await fixture.open()
  assert.deepEqual(reopened.find(source.sourceId)?.probe, probed.probe)
})

test('a string model compiles, and is checked with strings', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  const { manifest } = await store.compile(await fixture.source(identity('BYTES').model))
  assert.equal(manifest.check, 'generated')
})

test('inspect tells a signature without compiling', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  const source = await fixture.source(xs(1))
  assert.deepEqual(await store.inspect(source), {
    inputs: [{ name: 'features', datatype: 'FP32', shape: ['N', 64] }],
    outputs: [{ name: 'scores', datatype: 'FP32', shape: ['N', 8] }],
  })
  assert.equal(store.diskUsage().artifacts, 0)
})

test('paging in reads nothing of what was just written', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  const { manifest } = await store.compile(await fixture.source(xs(1)))
  assert.deepEqual(await store.pageIn(manifest), { readBytes: 0, isCold: false })
})

test('blobs are read-only files named by their digest', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  const { manifest } = await store.compile(await fixture.source(xs(1)))
  for (const { digest, bytes } of manifest.blobs) {
    const stat = statSync(join(fixture.cache, 'blobs', digest.slice(0, 2), digest))
    assert.equal(stat.mode & 0o777, 0o444)
    assert.equal(stat.size, bytes)
  }
})

test('a model that cannot be saved in parts is kept plain, says why, and answers the same', async (t) => {
  const fixture = new StoreFixture(t)
  // The engine's own save with external data breaks graphs that have bodies; only models past 2 GB need it.
  const store = await fixture.open({ inlineLimitBytes: 1024 })
  const checked = branches()
  const source = await fixture.source(checked.model)
  const { manifest } = await store.compile(source)
  assert.equal(manifest.form, 'plain')
  assert.ok((manifest.plainReason ?? '') !== '')
  assert.equal(existsSync(join(fixture.cache, `${manifest.artifact}.onnx`)), false)
  await assertAnswers(store, manifest, checked)
  assert.deepEqual(await store.pageIn(manifest), { readBytes: 0, isCold: false })
  const probed = await store.probe(manifest.artifact, source)
  assert.equal(probed.probe?.packed.paysAfterRuns, null)
  assert.deepEqual(await store.verify(manifest.artifact), [])
  await store.remove(manifest.artifact)
  assert.equal(store.diskUsage().bytes, 0)
})

test('a compiler is replaced after its number of jobs, and for another tenant where that is asked', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open({ compiler: { maxJobs: 2, isolatesTenants: true } })
  const started = () => fixture.events.filter((event) => event.name === 'compiler.started').length
  await store.compile(await fixture.source(xs(1), {}, { tenant: 'a' }))
  assert.ok(fixture.events.some((event) => event.name === 'compiler.replaced' && event.fields.reason === 'jobs'))
  await store.compile(await fixture.source(xs(2), {}, { tenant: 'a' }))
  const before = started()
  await store.compile(await fixture.source(xs(3), {}, { tenant: 'b' }))
  assert.ok(started() > before)
})

test('a big source in its lane does not keep a small one waiting', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  const order: string[] = []
  const warmUp = [{ inputs: [{ name: 'iterations', datatype: 'INT64', shape: [1], data: [3_000] }] }]
  const big = await fixture.source(slow().model, {}, { bytes: 17 * 2 ** 20, warmUp })
  const small = await fixture.source(xs(1))
  await Promise.all([
    store.compile(big).then(() => order.push('big')),
    store.compile(small).then(() => order.push('small')),
  ])
  assert.deepEqual(order, ['small', 'big'])
})

test('a closed store refuses with DRAINING and closes again', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  const source = await fixture.source(xs(1))
  await store.close()
  await store.close()
  await assert.rejects(store.compile(source), { code: 'DRAINING' })
})
