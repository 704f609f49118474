/** A folder with a model file as a source that never changes; pass other fields to play one that does. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { ArtifactSource } from '../../../src/artifact/artifact-store.ts'

export function artifactSource(dir: string, sourceId: string, extras: Partial<ArtifactSource> = {}): ArtifactSource {
  const modelFile = extras.modelFile ?? 'model.onnx'
  const bytes = statSync(join(dir, modelFile), { throwIfNoEntry: false })?.size ?? 0
  return {
    key: `test:1#${sourceId}`,
    sourceId,
    tenant: 'test',
    dir,
    modelFile,
    files: [{ path: modelFile, bytes }],
    bytes,
    warmUp: [],
    intraOpThreads: 1,
    isUnchanged: () => Promise.resolve(true),
    ...extras,
  }
}
