/** Ways in which the engine saves a graph: which one was taken must not show in the artifact. */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { modelClass } from '../../loadtest/models/index.ts'
import type { OnnxModel } from '../../loadtest/models/onnx-model.ts'
import { branches } from '../../loadtest/models/special/index.ts'
import { ARTIFACT_DEFAULTS } from '../../src/artifact/artifact-store.ts'
import { prepareFolder } from '../../src/artifact/cache-folder.ts'
import { compile } from '../../src/artifact/compile-job.ts'
import type { CompileCall } from '../../src/artifact/compiler-protocol.ts'
import { examine } from '../../src/artifact/examine-job.ts'
import { StoreFixture } from '../support/artifact/store-fixture.ts'

const BIG = 5 * 2 ** 20

async function compileAs(t: TestContext, model: OnnxModel, changes: Partial<CompileCall>) {
  const fixture = new StoreFixture(t)
  mkdirSync(fixture.cache, { recursive: true })
  await prepareFolder(fixture.cache)
  const { dir, modelFile } = await fixture.source(model)
  const { maxNodes, extraDomains, minBlobBytes, inlineLimitBytes, allowOrt } = ARTIFACT_DEFAULTS
  const limits = { maxNodes, extraDomains }
  const { timings: _, digest: __, ...examined } = examine({ dir, modelFile, limits, allowHardLinks: false, allowOrt })
  const call = { ...examined, cache: fixture.cache, artifact: 'a'.repeat(64), dir, modelFile, limits, minBlobBytes }
  const how = {
    device: 'cpu' as const,
    maxDeviation: 0,
    inlineLimitBytes,
    intraOpThreads: 1,
    warmUp: [],
    madeUp: 'drawn' as const,
    ...changes,
  }
  return await compile({ ...call, ...how }, join(fixture.cache, 'staging'), () => {})
}

test('a big model without bodies is saved with its tensors outside, and has the blobs that it has when saved whole', async (t) => {
  const model = modelClass('S').build({ customer: 1, family: 'full', seed: 1 })
  const outside = await compileAs(t, model, {})
  const whole = await compileAs(t, model, { hasBodies: true })
  assert.equal(outside.form, 'mapped', outside.plainReason)
  assert.deepEqual(outside.blobs, whole.blobs)
  assert.equal(outside.check, 'generated')
})

test('a graph that the engine breaks when it saves tensors outside is saved whole instead', async (t) => {
  const { model } = branches()
  // Believed to be without bodies, and big enough for the faster way.
  const made = await compileAs(t, model, { hasBodies: false, bytes: BIG })
  assert.equal(made.form, 'mapped', made.plainReason)
  const forced = await compileAs(t, model, { hasBodies: false, bytes: BIG, inlineLimitBytes: 1024 })
  assert.equal(forced.form, 'plain')
})
