import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { modelBytes, modelClass, writeModel } from '../../../loadtest/models/index.ts'
import type { OnnxModel } from '../../../loadtest/models/onnx-model.ts'
import { branches, sidecar } from '../../../loadtest/models/special/index.ts'
import { splitModel } from '../../../src/artifact/split.ts'
import { splitInThread } from '../../../src/artifact/split-thread.ts'
import { GatewayError } from '../../../src/domain/errors.ts'
import type { SplitModel } from '../../../src/domain/split-model.ts'

const NEVER = new AbortController().signal
/** Every tensor in one data file. */
const SIDECAR = { file: 'weights.bin', minBytes: 0 }

interface Place {
  readonly dir: string
  readonly work: string
}

function setUp(t: TestContext): Place {
  const top = mkdtempSync(join(tmpdir(), 'modelmux-split-'))
  t.after(() => rmSync(top, { recursive: true, force: true }))
  const place = { dir: join(top, 'version'), work: join(top, 'work') }
  for (const dir of Object.values(place)) mkdirSync(dir)
  return place
}

function callOf({ dir, work }: Place, minBytes = 1024) {
  const files = readdirSync(dir)
  const graphFile = join(work, 'model.onnx')
  return { dir, modelFile: 'model.onnx', files, graphFile, workDir: work, minBytes, maxNodes: 1000, extraDomains: [] }
}

function assertTensors({ tensors, graph }: SplitModel, { work }: Place): void {
  const written = readFileSync(join(work, 'model.onnx'))
  assert.deepEqual(graph, { bytes: written.length, sha256: hash('sha256', written, 'hex') })
  for (const { path, sha256, bytes, file, from } of tensors) {
    assert.equal(hash('sha256', readFileSync(file).subarray(from, from + bytes), 'hex'), sha256)
    assert.equal(path, `blobs/${sha256.slice(0, 2)}/${sha256}`)
    assert.ok(written.includes(path))
  }
}

test('tensors stay where they are and are named by their digests, bodies of branches included', (t) => {
  for (const model of [modelClass('XS').build({ customer: 1, family: 'full', seed: 1 }), branches().model]) {
    const place = setUp(t)
    writeFileSync(join(place.dir, 'model.onnx'), modelBytes(model))
    const read: number[] = []
    const split = splitModel(callOf(place, 64), (bytes) => read.push(bytes))
    assert.ok(split.tensors.length > 0)
    assert.equal(read.length >= split.tensors.length, true)
    assert.deepEqual(split.dataFiles, [])
    assertTensors(split, place)
  }
})

test('tensors of data files are found there, and the files are named as taken', async (t) => {
  const place = setUp(t)
  await writeModel(join(place.dir, 'model.onnx'), sidecar().model, { external: SIDECAR })
  const split = splitModel(callOf(place, 1), () => {})
  assert.deepEqual(
    split.dataFiles,
    readdirSync(place.dir).filter((name) => name !== 'model.onnx'),
  )
  assertTensors(split, place)
})

test('two fine-tunes of one base have the base in common', (t) => {
  const zoo = modelClass('S')
  const [one, two] = [1, 2].map((customer) => {
    const place = setUp(t)
    writeFileSync(
      join(place.dir, 'model.onnx'),
      modelBytes(zoo.build({ customer, family: 'head', seed: 1 }) satisfies OnnxModel),
    )
    return splitModel(callOf(place), () => {}).tensors.map(({ sha256 }) => sha256)
  })
  const common = one?.filter((sha256) => two?.includes(sha256)) ?? []
  assert.ok(common.length >= (one?.length ?? 0) - 2 && common.length > 0)
})

test('a data file outside of the folder is nobody to be read', async (t) => {
  const place = setUp(t)
  await writeModel(join(place.dir, 'model.onnx'), sidecar().model, { external: SIDECAR })
  const call = callOf(place, 1)
  assert.throws(
    () => splitModel({ ...call, files: ['model.onnx'] }, () => {}),
    (error) => error instanceof GatewayError && /not a file of its folder/.test(error.message),
  )
})

test('in a thread it gives the same, refuses the same, and ends when it is told to', async (t) => {
  const place = setUp(t)
  writeFileSync(
    join(place.dir, 'model.onnx'),
    modelBytes(modelClass('XS').build({ customer: 1, family: 'full', seed: 1 })),
  )
  let bytes = 0
  const split = await splitInThread(
    callOf(place),
    (more) => {
      bytes += more
    },
    NEVER,
  )
  assert.ok(bytes > 0)
  assertTensors(split, place)
  writeFileSync(join(place.dir, 'model.onnx'), 'no model')
  await assert.rejects(
    splitInThread({ ...callOf(place), graphFile: join(place.work, 'other') }, () => {}, NEVER),
    {
      code: 'ARTIFACT_INVALID',
    },
  )
  const interrupt = new AbortController()
  const reason = new Error('interrupted')
  const interrupted = splitInThread(
    { ...callOf(place), graphFile: join(place.work, 'third') },
    () => {},
    interrupt.signal,
  )
  interrupt.abort(reason)
  await assert.rejects(interrupted, reason)
})
