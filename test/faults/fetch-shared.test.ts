/** Sources that have files in common: each is fetched once, and what is taken from another source is held against its digest. */
import assert from 'node:assert/strict'
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { ModelVersion } from '../../src/domain/model-version.ts'
import type { RemoteFile } from '../../src/domain/remote-source.ts'
import { content, FetchScene } from '../support/fetch-scene.ts'
import { sha256Of } from '../support/object-server.ts'

const BASE = 'blobs/base'

describe('sources with files in common', () => {
  let scene: FetchScene
  let base: Buffer
  let model: Buffer
  beforeEach(async () => {
    scene = await FetchScene.set()
    base = content(300_000)
    model = content(1000)
  })
  afterEach(() => scene[Symbol.asyncDispose]())

  /** A version whose base lies in one place for all, and has no ETag. */
  function publish(name: string): ModelVersion {
    const own = scene.publish(name, { 'model.onnx': model })
    const { sha256 } = scene.server.put('base', base)
    const shared: RemoteFile = { path: BASE, bytes: base.length, location: '/base', sha256, isShared: true }
    return scene.resolve(own, [...scene.filesOf(own), shared])
  }

  const readsOfBase = () => scene.proxy.seen.filter((request) => request.includes('/base'))
  const fileOf = ({ sourceId }: ModelVersion) => join(scene.staging, sourceId, 'files', BASE)
  const linkOf = () => join(scene.staging, 'shared', sha256Of(base))

  async function fetched(version: ModelVersion): Promise<Record<string, unknown>> {
    const staged = await (await scene.store()).stage(version)
    assert.deepEqual(await readFile(join(staged.dir, BASE)), base)
    assert.deepEqual(await readFile(join(staged.dir, 'model.onnx')), model)
    assert.equal(await staged.isUnchanged(), true)
    staged.release()
    return scene.eventsOf('source.fetched').at(-1) ?? {}
  }

  it('gives the second source a copy of its own, with one name', async () => {
    const [one, two] = [publish('one'), publish('two')]
    assert.equal((await fetched(one)).copiedBytes, 0)
    const before = readsOfBase().length
    assert.deepEqual([(await fetched(two)).copiedBytes, readsOfBase().length], [base.length, before])
    const [a, b] = [await stat(fileOf(one)), await stat(fileOf(two))]
    assert.deepEqual([a.nlink, b.nlink, b.mode & 0o777, a.ino === b.ino], [1, 1, 0o444, false])
    assert.deepEqual((await scene.record(two)).integrity, 'sha256')
  })

  it('fetches once what many want at the same moment', async () => {
    const versions = Array.from({ length: 8 }, (_, index) => publish(`tune-${index}`))
    const store = await scene.store()
    const all = await Promise.all(versions.map((version) => store.stage(version)))
    for (const staged of all) staged.release()
    const copied = scene.eventsOf('source.fetched').map(({ copiedBytes }) => copiedBytes)
    assert.equal(copied.filter((bytes) => bytes === 0).length, 1)
    assert.equal(new Set(readsOfBase()).size, readsOfBase().length)
  })

  it('lets another try where the one that fetches fails', async () => {
    const [one, two] = [publish('one'), publish('two')]
    scene.proxy.order({ fault: { kind: 'answer', status: 404 }, when: ({ url }) => url === '/base', times: 1 })
    const store = await scene.store()
    const both = await Promise.allSettled([store.stage(one), store.stage(two)])
    const staged = both.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    assert.equal(staged.length, 1)
    for (const source of staged) source.release()
  })

  it('fetches again what is another file by now, and where the link leads nowhere', async () => {
    await fetched(publish('one'))
    await rm(linkOf())
    await writeFile(linkOf(), Buffer.alloc(base.length))
    assert.equal((await fetched(publish('two'))).copiedBytes, 0)
    await rm(fileOf(publish('two')))
    await writeFile(fileOf(publish('two')), base.subarray(0, 1000))
    assert.equal((await fetched(publish('five'))).copiedBytes, 0)
    await rm(fileOf(publish('five')))
    assert.equal((await fetched(publish('three'))).copiedBytes, 0)
    assert.equal((await fetched(publish('four'))).copiedBytes, base.length)
  })

  it('forgets with a source what could be copied from it', async () => {
    const [one, two] = [publish('one'), publish('two')]
    const store = await scene.store({ staging: { budgetBytes: base.length * 1.5 } })
    for (const version of [one, two]) (await store.stage(version)).release()
    await assert.rejects(stat(fileOf(one)), { code: 'ENOENT' })
    assert.equal(await readFile(linkOf()).then((bytes) => bytes.equals(base)), true)
    const other = scene.publish('other', { 'model.onnx': content(base.length) })
    ;(await store.stage(other)).release()
    await assert.rejects(stat(linkOf()), { code: 'ENOENT' })
  })
})
