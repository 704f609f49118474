import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { manifestText, readFleetManifest, readFleetProbe } from '../../../src/artifact/fleet-manifest.ts'
import type { Manifest, ProbeResult } from '../../../src/domain/artifact.ts'
import { fleetArtifact } from '../../support/artifact/fleet-artifact.ts'

const { manifest } = fleetArtifact('m')
const plain = fleetArtifact('p', { form: 'plain', check: 'first-request', plainReason: 'it cannot be saved' }).manifest
const PROBE: ProbeResult = {
  isBatchSafe: true,
  batchReason: 'rows are independent',
  privateBytes: 1,
  activationBytes: [1, 2],
  runMs: 0.5,
  mappings: 3,
  packed: { openMs: 1, runMs: 1, privateBytes: 1, paysAfterRuns: null },
}

function read(changes: object, of: Manifest = manifest): Manifest | undefined {
  return readFleetManifest(JSON.stringify({ ...of, ...changes }), of.artifact)
}

describe('a manifest from another machine', () => {
  it('is read as it was written, without what is not known and without its probe', () => {
    for (const one of [manifest, plain])
      assert.deepEqual(readFleetManifest(manifestText({ ...one, probe: PROBE }) ?? '', one.artifact), one)
    assert.deepEqual(read({ owner: 'me', probe: PROBE }), manifest)
  })

  it('is refused where it names a file that is not its own', () => {
    const { artifact, graph } = manifest
    for (const file of [`../${artifact}.onnx`, 'sources.jsonl', `${'0'.repeat(32)}.onnx`, `/etc/passwd`, ''])
      assert.equal(read({ file }), undefined, file)
    assert.equal(read({ files: [{ path: `${artifact}.plain/x`, ...graph }] }), undefined)
    const inside = (path: string) => ({ files: [{ path: `${plain.artifact}.plain/${path}`, ...graph }] })
    assert.notEqual(read(inside('a/b.bin'), plain), undefined)
    for (const path of ['../x', 'a/../../x', '/x', '', '.', 'a//b', 'a\\b', '.hidden', 'model.onnx', 'nul\0'])
      assert.equal(read(inside(path), plain), undefined, path)
    assert.equal(read({ files: [{ path: `${artifact}.plain/x`, ...graph }] }, plain), undefined)
    assert.equal(read({ blobs: manifest.blobs }, plain), undefined)
  })

  it('is refused where it is of another artifact, another layout or another kind', () => {
    assert.equal(readFleetManifest(JSON.stringify(manifest), plain.artifact), undefined)
    const strange: readonly object[] = [
      { format: 2 },
      { artifact: plain.artifact },
      { fingerprint: { ...manifest.fingerprint, ortVersion: '1.31.0' } },
      { fingerprint: null },
      { form: 'folded' },
      { graph: { digest: 'x', bytes: 1 } },
      { graph: { ...manifest.graph, bytes: -1 } },
      { blobs: [{ ...manifest.blobs[0], bytes: 1.5 }] },
      { blobs: [{ ...manifest.blobs[0], digest: '../../../etc/passwd' }] },
      { signature: { inputs: [{ name: 'x', datatype: 'FP99', shape: [] }], outputs: [] } },
      { signature: { inputs: [{ name: 'x', datatype: 'FP32', shape: [-2] }], outputs: [] } },
      { signature: { inputs: [{ name: 1, datatype: 'FP32', shape: [] }], outputs: [] } },
      { check: 'trust me' },
      { privateBytes: null },
      { timings: { walk: 'long' } },
    ]
    for (const changes of strange) assert.equal(read(changes), undefined, JSON.stringify(changes))
    for (const text of ['', 'null', '[]', '{', '{"__proto__":{}}'])
      assert.equal(readFleetManifest(text, manifest.artifact), undefined, text)
  })

  it('is not handed on before somebody compared its answers', () => {
    assert.equal(manifestText({ ...manifest, check: 'first-request' }), undefined)
  })
})

describe('a probe from another machine', () => {
  it('is read as it was written, and not at all where anything is of another kind', () => {
    assert.deepEqual(readFleetProbe(JSON.stringify(PROBE)), PROBE)
    for (const changes of [{ runMs: -1 }, { isBatchSafe: 1 }, { activationBytes: [1] }, { packed: null }])
      assert.equal(readFleetProbe(JSON.stringify({ ...PROBE, ...changes })), undefined)
    assert.equal(readFleetProbe('{'), undefined)
  })
})
