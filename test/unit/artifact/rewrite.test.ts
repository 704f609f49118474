import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { GraphBuilder } from '../../../loadtest/models/graph-builder.ts'
import { modelBytes } from '../../../loadtest/models/index.ts'
import type { OnnxModel, OnnxTensor } from '../../../loadtest/models/onnx-model.ts'
import { DATA_TYPE, modelOf, rawTensor } from '../../../loadtest/models/onnx-model.ts'
import { branches, functionWithBranches, repeated, scanned } from '../../../loadtest/models/special/index.ts'
import { BlobStore } from '../../../src/artifact/blob-store.ts'
import { ExternalFiles } from '../../../src/artifact/external-files.ts'
import { ExternalWindows } from '../../../src/artifact/external-windows.ts'
import { writeMoved } from '../../../src/artifact/rewrite.ts'
import { walkModel } from '../../../src/artifact/walk.ts'
import { ByteWindow } from '../../../src/artifact/wire.ts'

const LIMITS = { maxNodes: 1000, extraDomains: [] }

function setUp(t: TestContext) {
  const cache = mkdtempSync(join(tmpdir(), 'modelmux-rewrite-'))
  t.after(() => rmSync(cache, { recursive: true, force: true }))
  mkdirSync(join(cache, 'tmp'))
  for (let i = 0; i < 256; i++) mkdirSync(join(cache, 'blobs', i.toString(16).padStart(2, '0')), { recursive: true })
  let graphs = 0
  return (model: OnnxModel | Uint8Array, minBytes: number) => {
    const bytes = Buffer.from(model instanceof Uint8Array ? model : modelBytes(model))
    const blobs = new BlobStore(cache, join(cache, 'tmp'))
    const path = join(cache, `graph${graphs++}.onnx`)
    const written = writeMoved(ByteWindow.ofBuffer(bytes), path, {
      blobs,
      minBytes,
      external: new ExternalWindows(new Map()),
    })
    const graph = readFileSync(path)
    assert.deepEqual(written, { digest: hash('sha256', graph, 'hex'), bytes: graph.length })
    // The walk checks every reference against the blobs that are there.
    const facts = walkModel(
      ByteWindow.ofBuffer(graph),
      new ExternalFiles(cache, path, { allowHardLinks: false }),
      LIMITS,
    )
    return {
      before: bytes,
      graph,
      blobs: blobs.blobs,
      facts,
      read: (digest: string) => readFileSync(join(cache, 'blobs', digest.slice(0, 2), digest)),
    }
  }
}

function withTensor(tensor: OnnxTensor): OnnxModel {
  const graph = new GraphBuilder('one')
  const x = graph.input('x', tensor.dataType, [...tensor.dims])
  graph.node('Add', [x, graph.initializer(tensor)], { outputs: ['y'] })
  graph.output('y', tensor.dataType, [...tensor.dims])
  return modelOf(graph.finish(), { metadata: { owner: 'kept' } })
}

const MATRIX = Float32Array.from({ length: 64 * 64 }, (_, i) => i / 7)

test('a big tensor leaves the graph and its bytes become a blob', (t) => {
  const { before, graph, blobs, read } = setUp(t)(withTensor(rawTensor('w', DATA_TYPE.FLOAT, [64, 64], MATRIX)), 1024)
  assert.equal(blobs.length, 1)
  assert.deepEqual(read(blobs[0]?.digest ?? ''), Buffer.from(MATRIX.buffer))
  assert.ok(graph.length < before.length - MATRIX.byteLength + 300)
  assert.ok(graph.includes('owner') && graph.includes('kept'))
})

test('what is not moved stays byte for byte, unknown fields included', (t) => {
  const unknown = Buffer.from([0xfa, 0x3f, 0x03, 0x61, 0x62, 0x63])
  const bytes = Buffer.concat([modelBytes(withTensor(rawTensor('w', DATA_TYPE.FLOAT, [64, 64], MATRIX))), unknown])
  const rewrite = setUp(t)
  assert.deepEqual(rewrite(bytes, 2 ** 20).graph, bytes)
  assert.ok(rewrite(bytes, 1024).graph.includes(unknown))
})

test('typed fields become raw bytes: floats as they are, integers in their own width', (t) => {
  const rewrite = setUp(t)
  const values = Array.from({ length: 2048 }, (_, i) => (i % 200) - 100)
  const floats = rewrite(
    withTensor({ name: 'w', dataType: DATA_TYPE.FLOAT, dims: [64, 32], data: { kind: 'floats', values } }),
    1024,
  )
  assert.deepEqual(floats.read(floats.blobs[0]?.digest ?? ''), Buffer.from(Float32Array.from(values).buffer))
  const ints = rewrite(
    withTensor({ name: 'w', dataType: DATA_TYPE.INT64, dims: [64, 32], data: { kind: 'ints', values } }),
    1024,
  )
  assert.deepEqual(ints.read(ints.blobs[0]?.digest ?? ''), Buffer.from(BigInt64Array.from(values, BigInt).buffer))
})

test('equal tensors are one blob, across models too', (t) => {
  const rewrite = setUp(t)
  const model = withTensor(rawTensor('w', DATA_TYPE.FLOAT, [64, 64], MATRIX))
  assert.deepEqual(
    rewrite(model, 1024).blobs,
    rewrite(withTensor(rawTensor('other', DATA_TYPE.FLOAT, [32, 128], MATRIX)), 1024).blobs,
  )
})

test('lists of axes and scales stay in the graph, however low the limit', (t) => {
  const list = rawTensor('w', DATA_TYPE.INT64, [4], BigInt64Array.of(0n, 1n, 2n, 3n))
  assert.deepEqual(setUp(t)(withTensor(list), 1).blobs, [])
})

test('strings stay', (t) => {
  const strings: OnnxTensor = {
    name: 'w',
    dataType: 8,
    dims: [1, 2],
    data: { kind: 'strings', values: ['a'.repeat(5000), 'b'] },
  }
  assert.deepEqual(setUp(t)(withTensor(strings), 1).blobs, [])
})

for (const [place, make] of Object.entries({ branches, repeated, scanned, functionWithBranches })) {
  test(`tensors in ${place} move, and the structure stays what it was`, (t) => {
    const { facts, blobs } = setUp(t)(make().model, 16 * 1024)
    const untouched = setUp(t)(make().model, 2 ** 30)
    assert.ok(blobs.length > 0)
    assert.equal(untouched.blobs.length, 0)
    assert.deepEqual({ ...facts }, { ...untouched.facts })
  })
}
