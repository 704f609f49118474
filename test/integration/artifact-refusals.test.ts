/** What is no model, reaches outside, or means harm is refused with a reason, and the compiler serves the next one. */
import assert from 'node:assert/strict'
import { linkSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { modelBytes, modelClass } from '../../loadtest/models/index.ts'
import type { OnnxModel } from '../../loadtest/models/onnx-model.ts'
import {
  constantOfShapeBomb,
  ESCAPING_LOCATIONS,
  epContext,
  externalAt,
  overflowingDims,
  slow,
  truncated,
  unknownDomain,
  unknownOperator,
  wrongRawLength,
} from '../../loadtest/models/special/index.ts'
import { GatewayError } from '../../src/domain/errors.ts'
import { EngineSession } from '../../src/engine/session.ts'
import { compileOptions } from '../../src/engine/session-options.ts'
import { StoreFixture } from '../support/artifact/store-fixture.ts'
import { until } from '../support/eventually.ts'

const WEIGHT_BYTES = 4 * 160 * 160
const xs = () => modelClass('XS').build({ customer: 1, family: 'head', seed: 1 })

const REFUSED: Readonly<Record<string, { readonly model: OnnxModel | Uint8Array; readonly says: RegExp }>> = {
  'an HTML page': { model: Buffer.from('<!DOCTYPE html><html>404</html>'), says: /not (a whole|an) ONNX model/ },
  'an empty file': { model: Buffer.alloc(0), says: /not an ONNX model/ },
  'half a model': { model: truncated(modelBytes(xs())), says: /not a whole ONNX model/ },
  'an operator of an unknown domain': { model: unknownDomain(), says: /Mystery.*domain 'acme.custom'/ },
  'an operator that does not exist': { model: unknownOperator(), says: /cannot open/ },
  'an EPContext node': { model: epContext(), says: /EPContext/ },
  'raw data of the wrong length': { model: wrongRawLength(), says: /60 bytes.*needs 64/ },
  'dimensions beyond any file': { model: overflowingDims(), says: /elements/ },
  'an opset of the future': { model: { ...xs(), opsets: { '': 99 } }, says: /opset 99/ },
  'an ir_version of the future': { model: { ...xs(), irVersion: 99 }, says: /ir_version 99/ },
  'a missing data file': { model: externalAt('missing.bin'), says: /'missing.bin' is missing/ },
  ...Object.fromEntries(
    ESCAPING_LOCATIONS.flatMap((location) =>
      (['initializer', 'constant', 'branch'] as const).map((place) => [
        `external data at ${location} in a ${place}`,
        { model: externalAt(location, place), says: /external file/ },
      ]),
    ),
  ),
}

test('what is refused is refused as ARTIFACT_INVALID with a reason, and good models still compile', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  for (const [what, { model, says }] of Object.entries(REFUSED)) {
    const source = await fixture.source(model)
    await assert.rejects(
      store.compile(source),
      (error) =>
        error instanceof GatewayError &&
        error.code === 'ARTIFACT_INVALID' &&
        says.test(error.message) &&
        error.facts.details?.strike === undefined,
      what,
    )
  }
  assert.equal((await store.compile(await fixture.source(xs()))).manifest.form, 'mapped')
  assert.equal(
    fixture.events.filter((event) => event.name === 'compiler.started').length,
    1,
    'a refusal cost a compiler',
  )
})

test('external data through links out of the folder, soft or hard, is refused; a hard link can be allowed', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  const secret = join(fixture.root, 'secret.bin')
  writeFileSync(secret, Buffer.alloc(WEIGHT_BYTES))
  const soft = await fixture.source(externalAt('data.bin'))
  symlinkSync(secret, join(soft.dir, 'data.bin'))
  await assert.rejects(store.compile(soft), /leaves the version's folder/)
  const folder = await fixture.source(externalAt('sub/secret.bin'))
  symlinkSync(fixture.root, join(folder.dir, 'sub'))
  await assert.rejects(store.compile(folder), /leaves the version's folder/)
  const hard = await fixture.source(externalAt('data.bin'))
  linkSync(secret, join(hard.dir, 'data.bin'))
  await assert.rejects(store.compile(hard), /hard links/)
  await store.close()
  const trusting = await fixture.open({ allowHardLinks: true })
  assert.equal((await trusting.compile(hard)).manifest.form, 'mapped')
})

test('external data that ends before its tensor, or is a folder, is refused', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  const short = await fixture.source(externalAt('data.bin'))
  writeFileSync(join(short.dir, 'data.bin'), Buffer.alloc(WEIGHT_BYTES - 1))
  await assert.rejects(store.compile(short), /upload the whole file/)
  const folder = await fixture.source(externalAt('data'))
  mkdirSync(join(folder.dir, 'data'))
  await assert.rejects(store.compile(folder), /not a regular file/)
})

test('a bomb dies of the memory cap, is a strike, and takes nobody with it', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  await assert.rejects(
    store.compile(await fixture.source(constantOfShapeBomb())),
    (error) =>
      error instanceof GatewayError &&
      error.code === 'ARTIFACT_INVALID' &&
      ['memory', 'crash'].includes(String(error.facts.details?.strike)),
  )
  assert.equal((await store.compile(await fixture.source(xs()))).manifest.form, 'mapped')
})

test('a model that runs past the deadline is stopped, is a strike, and the next one gets a new compiler', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open({ compiler: { deadlineMs: 2_000, deadlineMsPerMiB: 0 } })
  const warmUp = [{ inputs: [{ name: 'iterations', datatype: 'INT64', shape: [1], data: [1_000_000_000] }] }]
  await assert.rejects(store.compile(await fixture.source(slow().model, {}, { warmUp })), (error) => {
    return (
      error instanceof GatewayError && error.code === 'ARTIFACT_INVALID' && error.facts.details?.strike === 'deadline'
    )
  })
  assert.equal((await store.compile(await fixture.source(xs()))).manifest.form, 'mapped')
  assert.ok(fixture.events.some((event) => event.name === 'compiler.replaced' && event.fields.reason === 'gone'))
  await store.close()
  assert.deepEqual(readdirSync(join(fixture.cache, 'tmp')), [], 'the killed compiler left its staging behind')
})

/** Compiles a model in a compiler that stands still, and sends it a signal once it surely has the job. */
async function compileUnder(t: TestContext, signal: NodeJS.Signals) {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  const source = await fixture.source(slow().model)
  const pid = fixture.events.find((event) => event.name === 'compiler.started')?.fields.pid
  assert.ok(typeof pid === 'number')
  process.kill(pid, 'SIGSTOP')
  const compiling = store.compile(source)
  compiling.catch(() => {})
  await until('a compiler has the job', () => store.compilers().some(({ running }) => running > 0))
  process.kill(pid, signal)
  // What stands still takes no other signal than SIGKILL.
  process.kill(pid, 'SIGCONT')
  return { fixture, store, compiling }
}

test('a compiler that crashes costs its model a strike that names the signal', async (t) => {
  const { fixture, store, compiling } = await compileUnder(t, 'SIGSEGV')
  await assert.rejects(
    compiling,
    (error) =>
      error instanceof GatewayError &&
      error.facts.details?.strike === 'crash' &&
      error.facts.details.signal === 'SIGSEGV',
  )
  assert.equal((await store.compile(await fixture.source(xs()))).manifest.form, 'mapped')
})

test('a compiler that the system kills, as for want of memory, is a failure that passes and no strike', async (t) => {
  const { fixture, store, compiling } = await compileUnder(t, 'SIGKILL')
  await assert.rejects(
    compiling,
    (error) =>
      error instanceof GatewayError &&
      error.code === 'MODEL_LOAD_FAILED' &&
      error.facts.details?.strike === undefined &&
      error.facts.details?.signal === 'SIGKILL',
  )
  assert.equal((await store.compile(await fixture.source(xs()))).manifest.form, 'mapped')
})

test('ONNX Runtime’s own format is refused unless it is allowed', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  const source = await fixture.source(Buffer.from('\0\0\0\0ORTM, and more'), {}, { modelFile: 'model.ort' })
  await assert.rejects(store.compile(source), /artifact\.allowOrt/)
})

test('where it is allowed, ONNX Runtime’s own format is saved as ONNX, walked in that form, and mapped', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open({ allowOrt: true })
  const onnx = await fixture.source(xs())
  const source = await fixture.source(Buffer.alloc(0), {}, { modelFile: 'model.ort' })
  // The engine saves in its own format when the name says so.
  const saveTo = join(source.dir, 'model.ort')
  await (await EngineSession.open(join(onnx.dir, 'model.onnx'), compileOptions({ saveTo }))).release()
  const { manifest } = await store.compile(source)
  assert.equal(manifest.form, 'mapped', manifest.plainReason)
  assert.deepEqual(manifest.signature, (await store.compile(onnx)).manifest.signature)
  assert.equal(manifest.blobs.length, 1)
  await assert.rejects(store.inspect(source), { code: 'UNSUPPORTED' })
})
