import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ArtifactIndex } from '../../../src/artifact/artifact-index.ts'
import type { Manifest } from '../../../src/domain/artifact.ts'

function manifest(artifact: string, blobs: Readonly<Record<string, number>>): Manifest {
  return {
    format: 1,
    artifact,
    fingerprint: { source: artifact, ortVersion: '1', provider: 'cpu', cpu: 'c', options: 'o' },
    form: 'mapped',
    file: `${artifact}.onnx`,
    graph: { digest: artifact, bytes: 10 },
    blobs: Object.entries(blobs).map(([digest, bytes]) => ({ digest, bytes })),
    signature: { inputs: [{ name: 'x', datatype: 'FP32', shape: ['N'] }], outputs: [] },
    check: 'generated',
    timings: {},
    privateBytes: 1,
  }
}

function indexOf(...manifests: Manifest[]): ArtifactIndex {
  const index = new ArtifactIndex()
  for (const [i, item] of manifests.entries()) {
    index.put(item, 10)
    index.touch(item.artifact, i + 1)
  }
  return index
}

test('a shared blob counts once, and goes with the last artifact that has it', () => {
  const index = indexOf(manifest('a', { shared: 100, own: 5 }), manifest('b', { shared: 100 }))
  assert.equal(index.bytes, 10 + 10 + 105)
  assert.deepEqual(index.remove('a'), ['own'])
  assert.equal(index.bytes, 110)
  assert.deepEqual(index.remove('b'), ['shared'])
  assert.equal(index.bytes, 0)
  assert.deepEqual(index.remove('b'), [])
})

test('putting an artifact again replaces it', () => {
  const index = indexOf(manifest('a', { one: 5 }))
  index.put(manifest('a', { two: 7 }), 10)
  assert.equal(index.bytes, 17)
  assert.equal(index.references('one'), 0)
  assert.equal(index.size, 1)
})

test('manifests of one family share what is equal', () => {
  const index = indexOf(manifest('a', { shared: 1 }), manifest('b', { shared: 1 }))
  assert.equal(index.get('a')?.signature, index.get('b')?.signature)
  index.put(manifest('c', { shared: 1 }), 10)
  assert.deepEqual(index.get('c'), manifest('c', { shared: 1 }))
})

test('victims are the longest unused, until the rest fits; what a victim frees counts its last references', () => {
  const index = indexOf(manifest('a', { s: 100 }), manifest('b', { s: 100 }), manifest('c', { t: 50 }))
  assert.deepEqual(index.chooseVictims(1000), [])
  assert.deepEqual(index.chooseVictims(175), ['a'])
  assert.deepEqual(index.chooseVictims(165), ['a', 'b'])
  index.touch('a', 99)
  assert.deepEqual(index.chooseVictims(175), ['b'])
})

test('what is held is no victim until its last holder is done, however often each says so', () => {
  const index = indexOf(manifest('a', {}), manifest('b', {}))
  const [first, second] = [index.hold('a', () => 3), index.hold('a', () => 4)]
  assert.deepEqual(index.chooseVictims(0), ['b'])
  first()
  first()
  assert.ok(index.isHeld('a'))
  second()
  assert.deepEqual(index.chooseVictims(0), ['b', 'a'])
})

test('a hold outlives the removal and the return of its artifact', () => {
  const index = indexOf(manifest('a', {}))
  const release = index.hold('a', () => 5)
  index.remove('a')
  index.put(manifest('a', {}), 10)
  assert.ok(index.isHeld('a'))
  release()
  assert.ok(!index.isHeld('a'))
})
