/** The cache folder as a database: what survives a restart, a kill, a scribble, a full disk, and ten thousand artifacts. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { modelClass } from '../../loadtest/models/index.ts'
import { branches } from '../../loadtest/models/special/index.ts'
import { artifactName } from '../../src/artifact/manifest.ts'
import type { Manifest } from '../../src/domain/artifact.ts'
import { StoreFixture } from '../support/artifact/store-fixture.ts'
import { until } from '../support/eventually.ts'
import { ManualClock } from '../support/manual-clock.ts'

const xsClass = modelClass('XS')
const xs = (customer: number) => xsClass.build({ customer, family: 'head', seed: 1 })
const HOUR_MS = 3_600_000

async function compiled(t: TestContext, options: Parameters<StoreFixture['open']>[0] = {}) {
  const fixture = new StoreFixture(t)
  const store = await fixture.open(options)
  const source = await fixture.source(xs(1))
  const { manifest } = await store.compile(source)
  return { fixture, store, source, manifest }
}

function blobFile(fixture: StoreFixture, manifest: Manifest): string {
  const digest = manifest.blobs[0]?.digest ?? ''
  return join(fixture.cache, 'blobs', digest.slice(0, 2), digest)
}

/** Other bytes of the same length under the same name, as a bad disk gives. */
function scribble(path: string): void {
  const bytes = readFileSync(path)
  chmodSync(path, 0o644)
  writeFileSync(path, bytes.fill(0xff))
  chmodSync(path, 0o444)
}

test('a restart finds every artifact by its source id, without a compiler', async (t) => {
  const { fixture, store, source, manifest } = await compiled(t)
  await store.close()
  const reopened = await fixture.open()
  assert.deepEqual(reopened.find(source.sourceId), manifest)
  assert.deepEqual((await reopened.compile(source)).timings, {})
})

test('a cache folder works where it was moved to', async (t) => {
  const { fixture, store, source } = await compiled(t)
  await store.close()
  const moved = join(fixture.root, 'elsewhere')
  renameSync(fixture.cache, moved)
  const reopened = await fixture.open({ dir: moved })
  const manifest = reopened.find(source.sourceId)
  assert.ok(manifest !== undefined)
  assert.deepEqual(await reopened.verify(manifest.artifact), [])
})

test('a torn manifest is removed at start, and its model is compiled again', async (t) => {
  const { fixture, store, source, manifest } = await compiled(t)
  await store.close()
  truncateSync(join(fixture.cache, `${manifest.artifact}.json`), 100)
  const reopened = await fixture.open()
  assert.equal(reopened.find(source.sourceId), undefined)
  assert.equal((await reopened.compile(source)).manifest.artifact, manifest.artifact)
})

test('a torn line in the memory of sources costs that source a digest and no other', async (t) => {
  const { fixture, store, source } = await compiled(t)
  await store.close()
  writeFileSync(join(fixture.cache, 'sources.jsonl'), '["half', { flag: 'a' })
  const reopened = await fixture.open()
  assert.ok(reopened.find(source.sourceId) !== undefined)
  const other = await fixture.source(xs(1))
  await reopened.compile(other)
  await reopened.close()
  const again = await fixture.open()
  assert.ok(again.find(other.sourceId) !== undefined)
})

test('artifacts of another machine or version are not found, and not believed', async (t) => {
  const { fixture, store, source, manifest } = await compiled(t)
  await store.close()
  const fingerprint = { ...manifest.fingerprint, ortVersion: '0.0.1' }
  const artifact = artifactName(fingerprint)
  renameSync(join(fixture.cache, `${manifest.artifact}.onnx`), join(fixture.cache, `${artifact}.onnx`))
  renameSync(join(fixture.cache, `${manifest.artifact}.json`), join(fixture.cache, `${artifact}.json`))
  writeFileSync(
    join(fixture.cache, `${artifact}.json`),
    JSON.stringify({ ...manifest, artifact, fingerprint, file: `${artifact}.onnx` }),
  )
  const reopened = await fixture.open()
  assert.equal(reopened.diskUsage().artifacts, 1)
  assert.equal(reopened.find(source.sourceId), undefined)
})

test('a truncated blob is found at the next page-in, and the model is compiled again', async (t) => {
  const { fixture, store, source, manifest } = await compiled(t)
  const path = blobFile(fixture, manifest)
  chmodSync(path, 0o644)
  truncateSync(path, 1000)
  await assert.rejects(store.pageIn(manifest), { code: 'MODEL_LOADING' })
  assert.equal(store.find(source.sourceId), undefined)
  const again = (await store.compile(source)).manifest
  assert.deepEqual(await store.verify(again.artifact), [])
})

test('a blob scribbled over in place is found at the next page-in by its time, and by its digest after a restart', async (t) => {
  const { fixture, store, source, manifest } = await compiled(t)
  scribble(blobFile(fixture, manifest))
  await assert.rejects(store.pageIn(manifest), { code: 'MODEL_LOADING' })
  const again = (await store.compile(source)).manifest
  await store.close()
  scribble(blobFile(fixture, again))
  const reopened = await fixture.open()
  await assert.rejects(reopened.pageIn(again), { code: 'MODEL_LOADING' })
})

test('bytes that rot under an unchanged time are found by verify, and the artifact goes', async (t) => {
  const { fixture, store, source, manifest } = await compiled(t)
  await store.close()
  const path = blobFile(fixture, manifest)
  scribble(path)
  utimesSync(path, 0, 0)
  const reopened = await fixture.open()
  assert.equal((await reopened.verify(manifest.artifact)).length, 1)
  assert.equal(reopened.find(source.sourceId), undefined)
})

test('data files of a plain artifact are looked at like its model file', async (t) => {
  const fixture = new StoreFixture(t)
  // The engine's own save with external data breaks graphs that have bodies, hence the plain form.
  const store = await fixture.open({ inlineLimitBytes: 1024 })
  const source = await fixture.source(branches().model, { external: { file: 'weights.bin', minBytes: 1024 } })
  const { manifest } = await store.compile(source)
  assert.equal(manifest.form, 'plain')
  assert.deepEqual(await store.verify(manifest.artifact), [])
  const path = `${manifest.artifact}.plain/weights.bin`
  scribble(join(fixture.cache, path))
  assert.deepEqual(await store.verify(manifest.artifact), [path])
  const again = (await store.compile(source)).manifest
  truncateSync(join(fixture.cache, path), 10)
  await assert.rejects(store.pageIn(again), { code: 'MODEL_LOADING' })
})

test('a file that was only touched is digested once and kept', async (t) => {
  const { fixture, store, source, manifest } = await compiled(t)
  const now = new Date()
  utimesSync(blobFile(fixture, manifest), now, now)
  await store.pageIn(manifest)
  assert.ok(store.find(source.sourceId) !== undefined)
})

test('over the disk budget the longest unused artifacts go, what is held stays, and shared blobs stay with the last one', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open({ diskBytes: 100_000 })
  const first = await fixture.source(xs(1))
  const { manifest } = await store.compile(first)
  const release = store.hold(manifest.artifact)
  const sources = [first]
  for (let customer = 2; customer <= 6; customer++) {
    const source = await fixture.source(xs(customer))
    sources.push(source)
    await store.compile(source)
    await store.collect()
  }
  assert.ok(store.find(first.sourceId) !== undefined, 'a held artifact went')
  assert.ok(store.find(sources[1]?.sourceId ?? '') === undefined, 'the oldest stayed')
  assert.ok(store.find(sources[5]?.sourceId ?? '') !== undefined, 'the newest went')
  assert.ok(store.diskUsage().bytes <= 100_000)
  assert.deepEqual(await store.verify(manifest.artifact), [])
  release()
  await store.remove(manifest.artifact)
  assert.equal(existsSync(join(fixture.cache, manifest.file)), false)
})

test('removing the last artifact that has a blob removes the blob', async (t) => {
  const { fixture, store, manifest } = await compiled(t)
  await store.remove(manifest.artifact)
  assert.equal(existsSync(blobFile(fixture, manifest)), false)
  assert.equal(store.diskUsage().bytes, 0)
})

test('blobs of what is evicted while a compile is under way go when that has ended', async (t) => {
  const { fixture, store, manifest } = await compiled(t)
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<boolean>()
  const isUnchanged = () => {
    asked.resolve()
    return answer.promise
  }
  const compiling = store.compile(
    await fixture.source(xsClass.build({ customer: 2, family: 'full', seed: 1 }), {}, { isUnchanged }),
  )
  await asked.promise
  await store.remove(manifest.artifact)
  assert.ok(existsSync(blobFile(fixture, manifest)), 'the compile under way may have wanted the blob')
  answer.resolve(true)
  await compiling
  await until('the blob is gone', () => !existsSync(blobFile(fixture, manifest)))
})

test('a full disk is made room on: artifacts out of use go with their blobs, and so does what failed compiles left', async (t) => {
  const { fixture, store, manifest } = await compiled(t)
  await store.close()
  const leftover = join(fixture.cache, 'blobs', 'ab', `ab${'0'.repeat(62)}`)
  writeFileSync(leftover, 'x')
  // More than any disk has free: every compile finds it full.
  const full = await fixture.open({ minFreeDiskBytes: 2 ** 60 })
  await assert.rejects(full.compile(await fixture.source(xs(2))), { code: 'CAPACITY_EXHAUSTED' })
  assert.equal(existsSync(blobFile(fixture, manifest)), false, 'the evicted artifact left its blob')
  assert.equal(existsSync(leftover), false, 'a blob that nothing refers to stayed')
})

test('what a killed process left is swept at the start, and whatever else no manifest names when it is an hour old', async (t) => {
  const { fixture, store, manifest } = await compiled(t)
  await store.close()
  const orphan = join(fixture.cache, `${'0'.repeat(32)}.onnx`)
  const blob = join(fixture.cache, 'blobs', 'ab', `ab${'0'.repeat(62)}`)
  writeFileSync(orphan, 'x')
  writeFileSync(blob, 'x')
  mkdirSync(join(fixture.cache, 'tmp', 'left-by-a-killed-process'))
  const clock = new ManualClock({ wall: Date.now() })
  const reopened = await fixture.open({ clock, collectMs: 10 * HOUR_MS })
  assert.deepEqual(
    readdirSync(join(fixture.cache, 'tmp')).filter((name) => name.startsWith('left')),
    [],
  )
  await until('the rubbish is gone', () => !existsSync(orphan) && !existsSync(blob))
  writeFileSync(orphan, 'x')
  writeFileSync(blob, 'x')
  await reopened.collect()
  assert.ok(existsSync(orphan) && existsSync(blob), 'young files may belong to a compile under way')
  await clock.advance(2 * HOUR_MS)
  await reopened.collect()
  assert.ok(!existsSync(orphan) && !existsSync(blob))
  assert.deepEqual(await reopened.verify(manifest.artifact), [])
})

test('ten thousand artifacts are read at start, and the event loop turns meanwhile', async (t) => {
  const { fixture, store, manifest } = await compiled(t)
  await store.close()
  for (let i = 0; i < 10_000; i++) {
    const fingerprint = { ...manifest.fingerprint, source: i.toString(16).padStart(64, '0') }
    const artifact = artifactName(fingerprint)
    writeFileSync(
      join(fixture.cache, `${artifact}.json`),
      JSON.stringify({ ...manifest, artifact, fingerprint, file: `${artifact}.onnx` }),
    )
  }
  let turns = 0
  let isOpen = false
  const turn = () => {
    turns++
    if (!isOpen) setImmediate(turn)
  }
  turn()
  const reopened = await fixture.open()
  isOpen = true
  assert.equal(reopened.diskUsage().artifacts, 10_001)
  assert.ok(turns > 500, `${turns} turns of the event loop`)
})
