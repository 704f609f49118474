import assert from 'node:assert/strict'
import { symlink } from 'node:fs/promises'
import { after, describe, it } from 'node:test'
import { isSameTree, listTree, listTreeSync, type TreeBounds } from '../../../src/lib/file-tree.ts'
import { SourceFolder } from '../../support/source-folder.ts'

const ROOMY: TreeBounds = { maxDepth: 8, maxFiles: 100 }
const folder = new SourceFolder()
after(() => folder[Symbol.asyncDispose]())

describe('listTree', () => {
  it('lists regular files at any depth by their paths, alike with and without blocking', async () => {
    for (const path of ['plain/b', 'plain/a.x', 'plain/a/c', 'plain/a/b/d', 'plain/.hidden/e', 'plain/.f'])
      await folder.write(path)
    const listing = await listTree(folder.at('plain'), ROOMY)
    assert.deepEqual(
      listing.files.map(({ path }) => path),
      ['a.x', 'a/b/d', 'a/c', 'b'],
    )
    assert.deepEqual(new Set(listing.dirs.map(({ path }) => path)), new Set(['', 'a', 'a/b']))
    assert.equal(listing.problem, undefined)
    assert.deepEqual(listTreeSync(folder.at('plain'), ROOMY), listing)
  })

  it('follows links that stay inside, and names those that do not', async () => {
    await folder.write('linked/data/weights.bin')
    await folder.write('elsewhere/secret')
    await symlink(folder.at('linked/data/weights.bin'), folder.at('linked/weights.bin'))
    const inside = await listTree(folder.at('linked'), ROOMY)
    assert.deepEqual([inside.files.length, inside.problem], [2, undefined])
    for (const target of ['../elsewhere/secret', '/etc/hostname', '../elsewhere', '../linked-but-longer']) {
      await symlink(target, folder.at('linked/escape'))
      const listing = await listTree(folder.at('linked'), ROOMY)
      assert.match(listing.problem ?? '', /the link 'escape' leads (out of the folder|nowhere)/, target)
      assert.equal(listing.files.length, 2)
      await folder.remove('linked/escape')
    }
  })

  it('ends although links lead in circles', async () => {
    await folder.write('circle/a/file')
    await symlink(folder.at('circle'), folder.at('circle/a/up'))
    await symlink(folder.at('circle/a'), folder.at('circle/again'))
    const { files } = listTreeSync(folder.at('circle'), ROOMY)
    assert.equal(files.length, 1)
  })

  it('stops at its bounds and says so', async () => {
    for (let i = 0; i < 4; i++) await folder.write(`many/file-${i}`)
    assert.match(listTreeSync(folder.at('many'), { maxDepth: 1, maxFiles: 3 }).problem ?? '', /more than 3 files/)
    await folder.write('deep/a/b/c/file')
    const deep = listTreeSync(folder.at('deep'), { maxDepth: 2, maxFiles: 3 })
    assert.match(deep.problem ?? '', /'a\/b\/c' lies deeper than 2 folders/)
  })

  it('rejects when the folder itself is not there, and with the reason of an abort', async () => {
    await assert.rejects(listTree(folder.at('none'), ROOMY), { code: 'ENOENT' })
    assert.throws(() => listTreeSync(folder.at('none'), ROOMY), { code: 'ENOENT' })
    await assert.rejects(listTree(folder.path, ROOMY, AbortSignal.abort(new Error('nobody waits'))), /nobody waits/)
  })
})

describe('isSameTree', () => {
  it('sees a file that was rewritten with as many bytes, replaced, added or removed', async () => {
    await folder.write('same/a', '1234')
    await folder.write('same/b')
    const before = listTreeSync(folder.at('same'), ROOMY)
    assert.ok(isSameTree(before, listTreeSync(folder.at('same'), ROOMY)))
    await folder.remove('same/a')
    const removed = listTreeSync(folder.at('same'), ROOMY)
    await folder.write('same/a', '4321')
    const replaced = listTreeSync(folder.at('same'), ROOMY)
    for (const [one, other] of [
      [before, removed],
      [before, replaced],
      [removed, replaced],
    ] as const) {
      assert.ok(!isSameTree(one, other))
      assert.ok(!isSameTree(other, one))
    }
  })
})
