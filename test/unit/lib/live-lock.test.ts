import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { LiveLock } from '../../../src/lib/live-lock.ts'

describe('a live lock', () => {
  let folder: string
  let path: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'modelmux-lock-'))
    path = join(folder, 'name.lock')
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  it('has one holder, and leaves nothing when it is released', async () => {
    const lock = await LiveLock.take(path)
    assert.equal(await LiveLock.tryTake(path), undefined)
    await lock.release()
    await lock.release()
    assert.deepEqual(await readdir(folder), [])
    const next = await LiveLock.tryTake(path)
    assert.ok(next !== undefined)
    await next.release()
  })

  it('has one holder at a time however many want it at once', async () => {
    let inside = 0
    let most = 0
    let turns = 0
    await Promise.all(
      Array.from({ length: 40 }, async () => {
        const lock = await LiveLock.take(path)
        most = Math.max(most, ++inside)
        await readdir(folder)
        turns++
        inside--
        await lock.release()
      }),
    )
    assert.deepEqual([most, turns], [1, 40])
    assert.deepEqual(await readdir(folder), [])
  })

  it('is free when its holder was killed, whoever comes first', async () => {
    await holdAndDie(path)
    const [socket] = await readdir(path)
    assert.match(socket ?? '', /sock$/)
    const taken = await Promise.all(Array.from({ length: 20 }, () => LiveLock.tryTake(path)))
    assert.equal(taken.filter((lock) => lock !== undefined).length, 1)
    assert.equal(await LiveLock.tryTake(path), undefined)
    for (const lock of taken) await lock?.release()
    assert.deepEqual(await readdir(folder), [])
  })

  it('lets a waiter leave', async () => {
    const lock = await LiveLock.take(path)
    const leaving = new AbortController()
    const waiting = LiveLock.take(path, leaving.signal)
    leaving.abort(new Error('had enough'))
    await assert.rejects(waiting, /had enough/)
    await lock.release()
    assert.deepEqual(await readdir(folder), [])
  })

  it('is taken over at whatever moment of its wait the holder goes', async () => {
    for (let turns = 0; turns < 60; turns++) {
      const lock = await LiveLock.take(path)
      const waiting = LiveLock.take(path)
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
      await lock.release()
      await (await waiting).release()
    }
  })

  it('works where the path is longer than a socket may have', async () => {
    const deep = join(folder, 'd'.repeat(200))
    await mkdir(deep)
    const lock = await LiveLock.take(join(deep, 'name.lock'))
    assert.equal(await LiveLock.tryTake(join(deep, 'name.lock')), undefined)
    await lock.release()
  })
})

/** A process that holds the lock when it is killed. */
async function holdAndDie(path: string): Promise<void> {
  const module = new URL('../../../src/lib/live-lock.ts', import.meta.url).href
  const script = `const { LiveLock } = await import('${module}'); await LiveLock.take(process.argv[1]); console.log('held'); process.stdin.resume()`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')
}
