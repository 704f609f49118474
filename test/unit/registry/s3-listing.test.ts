import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { S3Listed } from '../../../src/clients/s3.ts'
import type { ListPage } from '../../../src/registry/s3-listing.ts'
import { listFew, listGroups } from '../../../src/registry/s3-listing.ts'
import { S3Registry } from '../../../src/registry/s3-registry.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const FOLDER = { bucket: 'models', prefix: 'prod/' }
const NEVER = new AbortController().signal

/** A bucket with keys in the order given, as many a page as are asked for. */
function bucketOf(keys: readonly string[], knowsAfter = true): { list: ListPage; calls: () => number } {
  let calls = 0
  return {
    calls: () => calls,
    list: ({ prefix, from, after, limit }) => {
      calls++
      const all = keys.length > 10_000 ? keys : keys.filter((key) => key.startsWith(prefix))
      const start =
        from !== undefined ? Number(from) : knowsAfter ? all.filter((key) => key <= (after ?? '')).length : 0
      const objects = all
        .slice(start, start + limit)
        .map((key): S3Listed => ({ key, bytes: 1, etag: '"1"', modifiedMs: 0 }))
      return Promise.resolve({ objects, next: start + limit < all.length ? String(start + limit) : undefined })
    },
  }
}

async function groupsOf(keys: readonly string[], maxObjects = 1e6): Promise<string[]> {
  const groups: string[] = []
  for await (const group of listGroups(bucketOf(keys).list, FOLDER, maxObjects, NEVER))
    groups.push(group.map(({ path }) => path).join(' '))
  return groups
}

describe('a listing by folders of the first level', () => {
  it('gives each folder whole, across pages, and each object beside them alone', async () => {
    const many = Array.from({ length: 1500 }, (_, index) => `prod/b/${String(index).padStart(5, '0')}`)
    const groups = await groupsOf(['prod/a-b/1', 'prod/a.tar.gz', 'prod/a/1', 'prod/a/2', ...many, 'prod/c'])
    assert.deepEqual([groups[0], groups[1], groups[2], groups[4]], ['a-b/1', 'a.tar.gz', 'a/1 a/2', 'c'])
    assert.equal(groups[3]?.split(' ').length, 1500)
  })

  it('does not take a list for one that is out of order, nor a part of too many objects for all', async () => {
    await assert.rejects(groupsOf(['prod/a/1', 'prod/b/1', 'prod/a/2']), /not list objects in the order/)
    await assert.rejects(groupsOf(['prod/a', 'prod/b', 'prod/c'], 2), /more than 2 objects/)
  })

  it('passes by what begins with a dot, in one call where the server can begin behind it', async () => {
    const blobs = Array.from({ length: 5000 }, (_, index) => `prod/.blobs/${String(index).padStart(5, '0')}`)
    const keys = ['prod/-odd/1', ...blobs, 'prod/.hidden', 'prod/a/1', 'prod/b/1']
    for (const [knowsAfter, wanted] of [
      [true, 2],
      [false, 7],
    ] as const) {
      const { list, calls } = bucketOf(keys, knowsAfter)
      const groups: string[] = []
      for await (const group of listGroups(list, FOLDER, 1e6, NEVER))
        groups.push(group.map(({ path }) => path).join(' '))
      assert.deepEqual([groups.at(-2), groups.at(-1)], ['a/1', 'b/1'])
      assert.ok(groups.every((group) => !group.startsWith('.')))
      assert.equal(calls(), wanted)
    }
  })

  it('gives up on a path with more objects than a few pages', async () => {
    const { list, calls } = bucketOf(Array.from({ length: 2500 }, (_, index) => `prod/a/${index}`))
    assert.equal((await listFew(list, FOLDER, 'a/', 3, NEVER))?.length, 2500)
    assert.equal(await listFew(list, FOLDER, 'a/', 2, NEVER), undefined)
    assert.equal(calls(), 5)
  })

  it('brings 100,000 objects into memory with 100 calls, and lets others have their turn meanwhile', async () => {
    const keys = Array.from(
      { length: 100_000 },
      (_, index) => `prod/customer-${String(index).padStart(6, '0')}/churn/1/model.onnx`,
    )
    const { list, calls } = bucketOf(keys)
    const clock = new ManualClock()
    const registry = new S3Registry({
      folder: FOLDER,
      list,
      read: () => Promise.reject(new Error('there is nothing to read')),
      pollMs: 30_000,
      settleMs: 1000,
      defaults: { batching: 'auto', maxRows: 64, maxDelayMs: 0, intraOpThreads: 1 },
      clock,
      random: () => 0,
    })
    let turns = 0
    let isDone = false
    const count = () => {
      turns++
      if (!isDone) setImmediate(count)
    }
    setImmediate(count)
    await registry.start()
    await registry.initialScan
    isDone = true
    assert.equal(calls(), 100)
    assert.deepEqual(registry.size, { models: 100_000, versions: 100_000 })
    assert.ok(turns >= 900, `${turns} turns`)
    await registry.close()
    assert.equal(clock.pendingTimers, 0)
  })
})
