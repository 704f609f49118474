import assert from 'node:assert/strict'
import { type ChildProcess, execFile } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { connectToOwner, FolderLock } from '../../../src/artifact/folder-lock.ts'

const MODULE = JSON.stringify(new URL('../../../src/artifact/folder-lock.ts', import.meta.url))

let root: string
let dir: string

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'modelmux-lock-'))
})
beforeEach(async () => {
  dir = await mkdtemp(join(root, 'cache-'))
})
after(() => rm(root, { recursive: true }))

async function take(folder = dir): Promise<FolderLock> {
  const lock = await FolderLock.take(folder)
  assert.ok(lock !== undefined, 'somebody has the folder')
  return lock
}

/** A process that takes the lock and holds it until it is killed. */
async function holder(): Promise<ChildProcess> {
  const script = `
    const { FolderLock } = await import(${MODULE})
    const lock = await FolderLock.take(${JSON.stringify(dir)})
    process.stdout.write(lock === undefined ? 'refused' : 'taken')
    process.stdin.resume()`
  const child = execFile(process.execPath, ['--no-warnings', '--input-type=module', '-e', script])
  const said = child.stdout === null ? [] : await once(child.stdout, 'data')
  assert.equal(String(said[0]), 'taken')
  return child
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'exit')
}

describe('the lock of a cache folder', () => {
  it('is held by one at a time, and free again after it', async () => {
    const first = await take()
    assert.equal(await FolderLock.take(dir), undefined)
    await first.release()
    await first.release()
    const second = await take()
    assert.equal(await FolderLock.take(dir), undefined)
    await second.release()
  })

  it('goes to one of many who ask at once, each time it is given up', async () => {
    for (let round = 0; round < 20; round++) {
      const asked = await Promise.all(Array.from({ length: 10 }, () => FolderLock.take(dir)))
      const taken = asked.filter((lock) => lock !== undefined)
      assert.equal(taken.length, 1, `round ${round}`)
      await taken[0]?.release()
    }
  })

  it('goes to one of many who ask at once after its owner was killed, and leaves one name behind', async () => {
    for (let round = 0; round < 3; round++) {
      await kill(await holder())
      const asked = await Promise.all(Array.from({ length: 10 }, () => FolderLock.take(dir)))
      const taken = asked.filter((lock) => lock !== undefined)
      assert.equal(taken.length, 1, `round ${round}`)
      assert.equal((await readdir(join(dir, 'owner'))).length, 1)
      await taken[0]?.release()
    }
  })

  it('is not taken from an owner that hangs', async () => {
    const owner = await holder()
    owner.kill('SIGSTOP')
    assert.equal(await FolderLock.take(dir), undefined)
    await kill(owner)
    await (await take()).release()
  })

  it('is not taken from an owner that was asked before it listened', async () => {
    const owner = await take()
    const asked: string[] = []
    const ask = (path: string): Promise<boolean> => Promise.resolve(asked.push(path) > 1)
    assert.equal(await FolderLock.take(dir, ask), undefined)
    assert.equal(asked.length, 3, 'before it was bound, behind it, and when it began again')
    assert.equal((await readdir(join(dir, 'owner'))).length, 1)
    const guest = await connectToOwner(dir)
    assert.ok(guest !== undefined, 'the name of the owner is gone')
    guest.destroy()
    await owner.release()
  })

  it('is given up together with those who came when another was first', async () => {
    const owner = await take()
    let early: Promise<void> | undefined
    const answers = [
      () => Promise.resolve(false),
      async () => {
        const guest = await connectToOwner(dir)
        assert.ok(guest !== undefined)
        guest.write('hello')
        early = new Promise<void>((resolve) => void guest.resume().once('close', () => resolve()))
        return true
      },
    ]
    assert.equal(await FolderLock.take(dir, () => answers.shift()?.() ?? Promise.resolve(true)), undefined)
    await early
    await owner.release()
  })

  it('tells whoever comes while its owner goes that there is none, or lets them see the end', async () => {
    await mkdir(join(dir, 'owner'), { mode: 0o700 })
    const going = createServer((socket) => void socket.destroy()).unref()
    await once(going.listen(join(dir, 'owner', '1.sock')), 'listening')
    for (let round = 0; round < 100; round++) {
      const socket = await connectToOwner(dir)
      if (socket !== undefined) await new Promise((resolve) => void socket.resume().once('close', resolve))
    }
    await once(going.close(), 'close')
  })

  it('works in a folder whose path is longer than a socket may have, and in a copy', async () => {
    const deep = join(dir, 'x'.repeat(120), 'y'.repeat(120))
    await mkdir(deep, { recursive: true })
    const lock = await take(deep)
    assert.equal(await FolderLock.take(deep), undefined)
    await lock.release()
    const copy = join(root, 'copy')
    await cp(deep, copy, { recursive: true })
    await (await take(copy)).release()
  })

  it('lets others of the same user reach its owner, and nobody else', async () => {
    assert.equal(await connectToOwner(dir), undefined)
    const lock = await take()
    const [name = ''] = await readdir(join(dir, 'owner'))
    assert.equal((await stat(join(dir, 'owner', name))).mode & 0o777, 0o600)
    assert.equal((await stat(join(dir, 'owner'))).mode & 0o777, 0o700)
    // Who comes before the owner is ready to talk waits.
    const early = await connectToOwner(dir)
    const guests: unknown[] = []
    const came = new Promise<void>((resolve) => {
      lock.onGuest((socket) => {
        guests.push(socket)
        if (guests.length === 2) resolve()
      })
    })
    const late = await connectToOwner(dir)
    assert.ok(early !== undefined && late !== undefined)
    await came
    const closed = Promise.all([once(early, 'close'), once(late, 'close')])
    early.resume()
    late.resume()
    await lock.release()
    await closed
    assert.equal(await connectToOwner(dir), undefined)
  })
})
