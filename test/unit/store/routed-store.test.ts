import assert from 'node:assert/strict'
import { it } from 'node:test'
import { RoutedStore } from '../../../src/store/routed-store.ts'
import type { Store } from '../../../src/store/store.ts'
import { modelVersion } from '../../support/model-version.ts'

/** Says its own name instead of bringing anything. */
function named(name: string): Store {
  return {
    stage: () => Promise.reject(new Error(`asked ${name}`)),
    progressOf: () => ({ bytesDone: name.length, bytes: 10, bytesPerSecond: 1 }),
  }
}

it('a version is brought by the store that has its name, which also knows how far that is', async () => {
  const store = new RoutedStore([
    { prefix: '', store: named('all') },
    { prefix: 'acme', store: named('acme') },
  ])
  await assert.rejects(store.stage(modelVersion('acme/churn', '1')), /asked acme/)
  await assert.rejects(store.stage(modelVersion('acmes', '1')), /asked all/)
  assert.equal(store.progressOf('acme/churn:1#abc')?.bytesDone, 4)
  assert.equal(store.progressOf('churn:1#abc')?.bytesDone, 3)
})

it('a version that no store has the name of is refused', async () => {
  const store = new RoutedStore([{ prefix: 'acme', store: named('acme') }])
  await assert.rejects(store.stage(modelVersion('bolt/churn', '1')), { code: 'ARTIFACT_UNREACHABLE' })
  assert.equal(store.progressOf('bolt/churn:1#abc'), undefined)
})
