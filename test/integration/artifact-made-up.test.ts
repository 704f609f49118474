/** Inputs that were made up prove nothing against a model: what dies of them is tried with others, then left to its first request. */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { CheckedModel } from '../../loadtest/models/special/index.ts'
import {
  constantOfShapeBomb,
  crashing,
  diesOfOnesToo,
  diesOfZeros,
  neverEndsBelowTwo,
  poisonInputs,
} from '../../loadtest/models/special/index.ts'
import type { Manifest } from '../../src/domain/artifact.ts'
import { GatewayError } from '../../src/domain/errors.ts'
import { assertAnswers, StoreFixture } from '../support/artifact/store-fixture.ts'

const NOT_X86 = process.arch === 'x64' ? false : 'the division wraps around here'

test('a model that zeros kill is checked on ones, and probed on nothing else', { skip: NOT_X86 }, async (t) => {
  const { manifest, deaths, probed } = await compiled(t, diesOfZeros())
  assert.deepEqual([manifest.check, manifest.madeUp, manifest.form], ['generated', 'ones', 'mapped'])
  assert.deepEqual(deaths, ['drawn -> ones'])
  assert.ok(probed.probe !== undefined && probed.probe.runMs > 0, 'the probe died of what the check had shown to kill')
})

test('a model that ones kill as well is left to its first request', { skip: NOT_X86 }, async (t) => {
  const { manifest, deaths, probed } = await compiled(t, diesOfOnesToo())
  assert.deepEqual([manifest.check, manifest.madeUp, manifest.form], ['first-request', 'none', 'mapped'])
  assert.deepEqual(deaths, ['drawn -> ones', 'ones -> none'])
  assert.equal(probed.probe?.isBatchSafe, false)
})

test('a model that never ends on what was made up costs one deadline, and is left to its first request', async (t) => {
  const { manifest, deaths } = await compiled(t, neverEndsBelowTwo())
  assert.deepEqual([manifest.check, manifest.madeUp, manifest.form], ['first-request', 'none', 'mapped'])
  assert.deepEqual(deaths, ['drawn -> none'])
})

test('a model that dies of what its owner gave has shown itself', { skip: NOT_X86 }, async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  const [poison] = poisonInputs()
  const data = Array.from(poison?.data as Int32Array)
  const warmUp = [{ inputs: [{ ...poison, data }] }]
  const source = await fixture.source(crashing().model, {}, { warmUp })
  await assert.rejects(
    store.compile(source),
    (error) => error instanceof GatewayError && error.facts.details?.strike === 'crash',
  )
})

test('a model that wants too much memory on the smallest inputs, whatever they are, has shown itself', async (t) => {
  const fixture = new StoreFixture(t)
  const store = await fixture.open()
  await assert.rejects(
    store.compile(await fixture.source(constantOfShapeBomb())),
    (error) =>
      error instanceof GatewayError &&
      error.facts.details?.strike === 'memory' &&
      /artifact\.compileMemoryBytes/.test(error.message),
  )
})

/** Compiles and probes a model, and what its clients send is answered. */
async function compiled(
  t: TestContext,
  model: CheckedModel,
): Promise<{ manifest: Manifest; probed: Manifest; deaths: string[] }> {
  const fixture = new StoreFixture(t)
  const store = await fixture.open({ compiler: { checkMs: 1_000 } })
  const source = await fixture.source(model.model)
  const { manifest } = await store.compile(source)
  await assertAnswers(store, manifest, model)
  const probed = await store.probe(manifest.artifact, source)
  const deaths = fixture.events
    .filter(({ name }) => name === 'artifact.made-up-run-died')
    .map(({ fields }) => `${fields.madeUp} -> ${fields.next}`)
  return { manifest, probed, deaths }
}
