import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  blobKey,
  parseSharedFiles,
  remoteFileOf,
  renderSharedFiles,
  SharedFilesError,
} from '../../../src/domain/shared-blobs.ts'

const SHA = 'ab'.repeat(32)
const FILE = { path: 'blobs/ab/x', sha256: SHA, bytes: 70_000 }
const ROOT = { bucket: 'models', prefix: 'prod/' }

describe('the manifest of shared files', () => {
  it('is read as it was written, in one order', () => {
    const other = { path: 'a.bin', sha256: 'cd'.repeat(32), bytes: 0 }
    assert.deepEqual(parseSharedFiles(renderSharedFiles([FILE, other])), [other, FILE])
    assert.equal(renderSharedFiles([FILE, other]), renderSharedFiles([other, FILE]))
  })

  it('leads into the blobs of its root and nowhere else, whatever else it says', () => {
    const [file] = parseSharedFiles(
      JSON.stringify({ format: 1, files: [{ ...FILE, location: 's3://elsewhere/secret', isShared: false }] }),
    )
    assert.ok(file !== undefined)
    assert.deepEqual(remoteFileOf(file, ROOT), {
      ...FILE,
      location: `s3://models/prod/.blobs/ab/${SHA}`,
      isShared: true,
    })
    assert.equal(blobKey({ bucket: 'models', prefix: '' }, SHA), `.blobs/ab/${SHA}`)
  })

  it('is refused when it is anything else', () => {
    const files = (...some: unknown[]) => JSON.stringify({ format: 1, files: some })
    for (const text of [
      '',
      'null',
      '[]',
      '{}',
      '{"format": 1}',
      '{"format": 1, "files": {}}',
      '{"format": 2, "files": []}',
      files(null),
      files('x'),
      files({ ...FILE, path: 1 }),
      files({ ...FILE, sha256: SHA.toUpperCase() }),
      files({ ...FILE, sha256: `${SHA.slice(0, 60)}/../` }),
      files({ ...FILE, bytes: 1.5 }),
      files({ ...FILE, bytes: -1 }),
      files({ ...FILE, bytes: '7' }),
      files({ path: FILE.path, bytes: 1 }),
      JSON.stringify({ format: 1, files: Array.from({ length: 10_001 }, () => FILE) }),
    ])
      assert.throws(() => parseSharedFiles(text), SharedFilesError, text.slice(0, 80))
  })
})
