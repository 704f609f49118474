import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { cachedBytes, dropPages } from '../../../../loadtest/measure/page-cache.ts'

describe('page cache', async () => {
  // Next to the tests: the system's temp folder may be in memory, where nothing can be dropped.
  const folder = await mkdtemp(join(import.meta.dirname, 'page-cache-'))
  after(() => rm(folder, { recursive: true, force: true }))

  it('drops all pages of many files, dirty ones too, and sees them come back', async () => {
    const files = ['a', "it's b", 'c d'].map((name) => join(folder, name))
    for (const file of files) await writeFile(file, Buffer.alloc(64 * 1024, 1))
    await dropPages(files)
    const dropped = await cachedBytes(files)
    // Undefined where fincore is missing: then dropping is all that can be shown, by not failing.
    if (dropped === undefined) return
    assert.equal(dropped, 0)
    for (const file of files) await readFile(file)
    assert.equal(await cachedBytes(files), 3 * 64 * 1024)
  })
})
