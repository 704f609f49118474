import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { FolderInUseError, FolderLock } from '../../../src/artifact/folder-lock.ts'

let root: string
let dir: string

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'modelmux-lock-'))
})
beforeEach(async () => {
  dir = await mkdtemp(join(root, 'cache-'))
})
after(() => rm(root, { recursive: true }))

describe('the lock of a cache folder', () => {
  it('is held by one at a time, and leaves nothing behind', async () => {
    const first = await FolderLock.take(dir)
    await assert.rejects(FolderLock.take(dir), FolderInUseError)
    await first.release()
    assert.deepEqual(await readdir(dir), [])
    const second = await FolderLock.take(dir)
    await second.release()
  })

  it('goes to one of many who ask at once', async () => {
    const asked = await Promise.allSettled(Array.from({ length: 10 }, () => FolderLock.take(dir)))
    const taken = asked.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
    assert.equal(taken.length, 1)
    await taken[0]?.release()
  })

  it('is free after its owner was killed', async () => {
    const script = `
      const { FolderLock } = await import(${JSON.stringify(new URL('../../../src/artifact/folder-lock.ts', import.meta.url))})
      await FolderLock.take(${JSON.stringify(dir)})
      process.kill(process.pid, 'SIGKILL')`
    await new Promise<void>((resolve) => {
      execFile(process.execPath, ['--input-type=module', '-e', script], () => resolve())
    })
    assert.deepEqual(await readdir(dir), ['owner.sock'])
    await (await FolderLock.take(dir)).release()
  })

  it('works in a folder whose path is longer than a socket may have', async () => {
    const deep = join(dir, 'x'.repeat(120), 'y'.repeat(120))
    await mkdir(deep, { recursive: true })
    const lock = await FolderLock.take(deep)
    await assert.rejects(FolderLock.take(deep), FolderInUseError)
    await lock.release()
  })
})
