/** A manifest for tests that need one: a mapped artifact of two tensors, not probed. */
import type { Manifest } from '../../src/domain/artifact.ts'

export function manifest(artifact: string, changes: Partial<Manifest> = {}): Manifest {
  return {
    format: 1,
    artifact,
    fingerprint: { source: `source of ${artifact}`, ortVersion: '1.30.0', provider: 'cpu', cpu: 'any', options: '' },
    form: 'mapped',
    file: `${artifact}.onnx`,
    graph: { digest: `graph of ${artifact}`, bytes: 1000 },
    blobs: [
      { digest: `${artifact} 1`, bytes: 65_536 },
      { digest: `${artifact} 2`, bytes: 131_072 },
    ],
    signature: { inputs: [], outputs: [] },
    check: 'generated',
    timings: {},
    privateBytes: 150_000,
    ...changes,
  }
}
