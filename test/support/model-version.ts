/** A ModelVersion for tests that need one and do not care what is in it. */

import { tenantOf } from '../../src/domain/model-ref.ts'
import { type ModelSettings, type ModelVersion, modelKey } from '../../src/domain/model-version.ts'

export const PLAIN_SETTINGS: ModelSettings = {
  batching: { mode: 'auto', maxRows: 64, maxDelayMs: 0 },
  intraOpThreads: 1,
  warmUp: [],
}

export function modelVersion(name: string, version = '1', sourceId = `source-of-${name}-${version}`): ModelVersion {
  return {
    key: modelKey(name, version, sourceId),
    name,
    version,
    tenant: tenantOf(name),
    sourceId,
    modelFile: 'model.onnx',
    bytes: 1000,
    settings: PLAIN_SETTINGS,
  }
}
