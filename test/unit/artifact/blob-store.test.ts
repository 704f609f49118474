import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { BlobStore } from '../../../src/artifact/blob-store.ts'
import { blobPath } from '../../../src/artifact/layout.ts'
import { ByteWindow } from '../../../src/artifact/wire.ts'

function setUp(t: TestContext) {
  const cache = mkdtempSync(join(tmpdir(), 'modelmux-blobs-'))
  t.after(() => rmSync(cache, { recursive: true, force: true }))
  const staging = join(cache, 'tmp')
  mkdirSync(staging)
  return { cache, staging, blobs: new BlobStore(cache, staging) }
}

test('a blob whose folder is gone is written all the same', (t) => {
  const { cache, blobs } = setUp(t)
  const bytes = Buffer.from('weights')
  assert.deepEqual(readFileSync(join(cache, blobPath(blobs.putBytes(bytes).digest))), bytes)
})

test('what lies under a blob’s name with other bytes of the same length is replaced, not believed', (t) => {
  const { cache, blobs } = setUp(t)
  const bytes = Buffer.from('weights')
  const path = join(cache, blobPath(hash('sha256', bytes, 'hex')))
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, Buffer.alloc(bytes.length))
  blobs.putBytes(bytes)
  assert.deepEqual(readFileSync(path), bytes)
})

test('a big range that changes between its digest and its copy becomes no blob', (t) => {
  const { cache, staging, blobs } = setUp(t)
  const bytes = Buffer.alloc(9 * 2 ** 20)
  const window = ByteWindow.ofBuffer(bytes)
  let reads = 0
  window.read = (at, into) => {
    // Three chunks for the digest; the copy finds other bytes.
    if (++reads > 3) return into.fill(1)
    bytes.copy(into, 0, at, at + into.length)
    return into
  }
  assert.throws(() => blobs.putRange(window, 0, bytes.length), { code: 'MODEL_LOADING' })
  assert.equal(existsSync(join(cache, blobPath(hash('sha256', bytes, 'hex')))), false)
  assert.deepEqual(readdirSync(staging), [])
})
