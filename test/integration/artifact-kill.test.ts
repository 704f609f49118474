/** kill -9 at any moment leaves a folder that opens, in which everything found is whole. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { modelClass } from '../../loadtest/models/index.ts'
import type { ArtifactSource } from '../../src/artifact/artifact-store.ts'
import { StoreFixture } from '../support/artifact/store-fixture.ts'

const CUSTOMERS = 12
const COMPILES = join(import.meta.dirname, '../support/artifact/compile-all.ts')

test('after kill -9 in the middle of compiles, what is found is whole and the rest compiles', async (t) => {
  const fixture = new StoreFixture(t)
  const xs = modelClass('XS')
  const sources: ArtifactSource[] = []
  for (let customer = 1; customer <= CUSTOMERS; customer++) {
    sources.push(await fixture.source(xs.build({ customer, family: 'full', seed: 1 })))
  }
  for (let round = 1; round <= 3; round++) {
    const child = spawn(process.execPath, [COMPILES, fixture.cache, ...sources.map((source) => source.dir)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    // Each line is a compile done; the next one is under way when the line is read.
    const lines = createInterface({ input: child.stdout })
    for (let seen = 0; seen < round * 2; seen++) await once(lines, 'line')
    child.kill('SIGKILL')
    await once(child, 'exit')
    const store = await fixture.open()
    const found = sources.map((source) => store.find(source.sourceId)).filter((manifest) => manifest !== undefined)
    assert.ok(found.length >= round * 2 - 1, `${found.length} found in round ${round}`)
    for (const manifest of found) assert.deepEqual(await store.verify(manifest.artifact), [])
    await store.close()
  }
  const store = await fixture.open()
  for (const source of sources) assert.equal((await store.compile(source)).manifest.form, 'mapped')
  assert.equal(store.diskUsage().artifacts, CUSTOMERS)
})
