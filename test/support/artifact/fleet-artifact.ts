/** An artifact of a few bytes that no compiler made, with its files as a place of a fleet has them. */
import { hash } from 'node:crypto'
import { filesOf } from '../../../src/artifact/fleet-manifest.ts'
import { manifestKey } from '../../../src/artifact/fleet-place.ts'
import { graphFile, plainFolder } from '../../../src/artifact/layout.ts'
import { artifactName } from '../../../src/artifact/manifest.ts'
import type { Manifest } from '../../../src/domain/artifact.ts'

export interface FleetArtifact {
  readonly manifest: Manifest
  /** Content by key; the manifest is the last. */
  readonly objects: ReadonlyMap<string, Buffer>
}

export function fleetArtifact(seed: string, changes: Partial<Manifest> = {}): FleetArtifact {
  const fingerprint = { source: sha256(seed), ortVersion: '1.30.0', provider: 'cpu', cpu: 'any', options: 'v1' }
  const artifact = artifactName(fingerprint)
  const form = changes.form ?? 'mapped'
  const graph = Buffer.from(`graph of ${seed}`)
  const blobs = form === 'plain' ? [] : [Buffer.alloc(30_000, `shared`), Buffer.alloc(20_000, seed)]
  const data = Buffer.from(`data of ${seed}`)
  const manifest: Manifest = {
    format: 1,
    artifact,
    fingerprint,
    form,
    file: form === 'plain' ? `${plainFolder(artifact)}/model.onnx` : graphFile(artifact),
    graph: refOf(graph),
    blobs: blobs.map(refOf),
    ...(form === 'plain' ? { files: [{ path: `${plainFolder(artifact)}/weights/w.bin`, ...refOf(data) }] } : {}),
    signature: {
      inputs: [{ name: 'x', datatype: 'FP32', shape: ['N', 3] }],
      outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 1] }],
    },
    check: 'generated',
    timings: { walk: 1 },
    privateBytes: 1000,
    ...changes,
  }
  const contents = new Map([graph, data, ...blobs].map((content) => [sha256(content), content]))
  const files = filesOf(manifest).map(({ key, digest }) => [key, contents.get(digest) ?? Buffer.of()] as const)
  return { manifest, objects: new Map([...files, [manifestKey(artifact), Buffer.from(JSON.stringify(manifest))]]) }
}

function refOf(content: Buffer): { readonly digest: string; readonly bytes: number } {
  return { digest: sha256(content), bytes: content.length }
}

function sha256(content: Buffer | string): string {
  return hash('sha256', content, 'hex')
}
