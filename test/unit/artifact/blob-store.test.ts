import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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

test('a big range that changes while it is read becomes the blob of what was read', (t) => {
  const { cache, staging, blobs } = setUp(t)
  const bytes = Buffer.alloc(9 * 2 ** 20)
  const window = ByteWindow.ofBuffer(bytes)
  let reads = 0
  window.read = (_at, into) => into.fill(++reads)
  const { digest } = blobs.putRange(window, 0, bytes.length)
  assert.ok(reads > 1)
  assert.equal(hash('sha256', readFileSync(join(cache, blobPath(digest))), 'hex'), digest)
  assert.deepEqual(readdirSync(staging), [])
})

test('a big range that is there already leaves nothing behind and is one blob', (t) => {
  const { staging, blobs } = setUp(t)
  const bytes = Buffer.alloc(9 * 2 ** 20, 7)
  const first = blobs.putRange(ByteWindow.ofBuffer(bytes), 0, bytes.length)
  assert.deepEqual(blobs.putRange(ByteWindow.ofBuffer(bytes), 0, bytes.length), first)
  assert.deepEqual(blobs.blobs, [first])
  assert.deepEqual(readdirSync(staging), [])
})

test('ranges that are held one after the other do not write over each other', (t) => {
  const { cache, blobs } = setUp(t)
  const window = ByteWindow.ofBuffer(Buffer.concat([Buffer.alloc(70_000, 1), Buffer.alloc(70_000, 2)]))
  const refs = [blobs.putRange(window, 0, 70_000), blobs.putRange(window, 70_000, 140_000)]
  for (const { digest } of refs) {
    assert.equal(hash('sha256', readFileSync(join(cache, blobPath(digest))), 'hex'), digest)
  }
})
