import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { Pager } from '../../../src/artifact/page-in.ts'
import { ManualClock } from '../../support/manual-clock.ts'

/** A clock on which every reading is `stepMs` after the one before: reads seem to take that long. */
class SteppingClock extends ManualClock {
  stepMs = 0
  #elapsed = 0

  override now(): number {
    this.#elapsed += this.stepMs
    return super.now() + this.#elapsed
  }
}

const OPTIONS = { bytesPerSecond: Number.POSITIVE_INFINITY, warmMs: 1_000, diskReadBytes: async () => 0 }
const BIG_BYTES = 9 * 1024 * 1024

function setUp(t: TestContext, bytes: number) {
  const dir = mkdtempSync(join(tmpdir(), 'modelmux-page-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const file = { path: join(dir, 'file'), bytes }
  writeFileSync(file.path, Buffer.alloc(bytes))
  return file
}

for (const bytes of [0, 1000, BIG_BYTES]) {
  test(`a file of ${bytes} bytes that answers at once is warm and not read`, async (t) => {
    const pager = new Pager(OPTIONS, new SteppingClock())
    assert.deepEqual(await pager.pageIn([setUp(t, bytes)]), { readBytes: 0, isCold: false })
  })
}

test('a file whose bytes come late is read in full, once, and then known to be warm for a while', async (t) => {
  const clock = new SteppingClock()
  const pager = new Pager(OPTIONS, clock)
  const file = setUp(t, BIG_BYTES)
  clock.stepMs = 5
  assert.deepEqual(await pager.pageIn([file]), { readBytes: BIG_BYTES, isCold: true })
  assert.deepEqual(await pager.pageIn([file]), { readBytes: 0, isCold: false })
  await clock.advance(2_000)
  assert.deepEqual(await pager.pageIn([file]), { readBytes: BIG_BYTES, isCold: true })
})

test('a file that answers at once but came from a disk is cold: the kernel’s count says so', async (t) => {
  let counted = 0
  const pager = new Pager({ ...OPTIONS, diskReadBytes: async () => (counted += 4096) }, new SteppingClock())
  const files = [setUp(t, BIG_BYTES), setUp(t, 1000)]
  assert.deepEqual(await pager.pageIn(files), { readBytes: BIG_BYTES + 1000, isCold: true })
})

test('where the kernel does not count, everything is read', async (t) => {
  const pager = new Pager({ ...OPTIONS, diskReadBytes: async () => undefined }, new SteppingClock())
  assert.equal((await pager.pageIn([setUp(t, BIG_BYTES)])).isCold, true)
})

test('what was just written is warm without a look', async (t) => {
  const clock = new SteppingClock()
  clock.stepMs = 5
  const pager = new Pager(OPTIONS, clock)
  const file = setUp(t, BIG_BYTES)
  pager.markWarm(file.path)
  assert.deepEqual(await pager.pageIn([file]), { readBytes: 0, isCold: false })
})

test('the read of a cold file ends with its caller’s patience, and the pager goes on', async (t) => {
  const clock = new SteppingClock()
  clock.stepMs = 5
  const pager = new Pager({ ...OPTIONS, bytesPerSecond: 1 }, clock)
  const file = setUp(t, BIG_BYTES)
  const leaver = new AbortController()
  const paging = pager.pageIn([file], leaver.signal)
  const small = setUp(t, 1000)
  leaver.abort(new Error('left'))
  await assert.rejects(paging, /left/)
  assert.equal((await pager.pageIn([small])).readBytes, 1000)
})

test('a missing file is the file system’s error', async () => {
  await assert.rejects(new Pager(OPTIONS, new SteppingClock()).pageIn([{ path: '/nowhere/file', bytes: 1 }]), {
    code: 'ENOENT',
  })
})
