import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { artifactName, parseManifest } from '../../../src/artifact/manifest.ts'
import type { Manifest } from '../../../src/domain/artifact.ts'

const DIGEST = 'a'.repeat(64)
const FINGERPRINT = {
  source: 's',
  ortVersion: '1',
  provider: 'cpu',
  cpu: 'c',
  options: 'o',
} as unknown as Manifest['fingerprint']
const NAME = artifactName(FINGERPRINT)
const GOOD = {
  format: 1,
  artifact: NAME,
  fingerprint: FINGERPRINT,
  form: 'plain',
  file: `${NAME}.onnx`,
  graph: { digest: DIGEST },
  blobs: [{ digest: DIGEST, bytes: 1 }],
  files: [{ path: 'x.bin', digest: DIGEST }],
  signature: { inputs: [], outputs: [] },
}

describe('parseManifest', () => {
  it('reads what was written', () => {
    assert.deepEqual(parseManifest(JSON.stringify(GOOD), NAME), GOOD)
  })

  it('has no use for a text in which anything is of another kind, and throws for none', () => {
    const strange: readonly unknown[] = [
      null,
      1,
      '../x',
      [],
      {},
      { toString: 1 },
      [null],
      [{ digest: { toString: 1 } }],
      [{ digest: DIGEST }],
    ]
    for (const field of Object.keys(GOOD)) {
      for (const value of strange) {
        // An empty list of blobs or files is as good as any.
        if (Array.isArray(value) && value.length === 0 && ['blobs', 'files'].includes(field)) continue
        const text = JSON.stringify({ ...GOOD, [field]: value })
        if (text === JSON.stringify(GOOD)) continue
        assert.equal(parseManifest(text, NAME), undefined, text)
      }
    }
    for (const text of ['', 'null', '[]', '1', '{}', '{"format":1}'])
      assert.equal(parseManifest(text, NAME), undefined, text)
  })
})
