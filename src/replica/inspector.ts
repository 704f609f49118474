/** Tells what a model takes and gives without loading it. */
import type { Manifest } from '../domain/artifact.ts'
import type { Inspection } from '../domain/inference.ts'
import type { ModelVersion } from '../domain/model-version.ts'
import type { Signature } from '../domain/tensor-types.ts'
import type { StagedSource } from './loads.ts'

export interface InspectorOptions {
  readonly find: (sourceId: string) => Promise<Manifest | undefined> | Manifest | undefined
  readonly stage: (version: ModelVersion, signal: AbortSignal) => Promise<StagedSource>
  /** Walks a model file's structure; reads no weights and compiles nothing. */
  readonly walk: (source: StagedSource & { readonly tenant: string }) => Promise<Signature>
}

export class Inspector {
  readonly #options: InspectorOptions

  constructor(options: InspectorOptions) {
    this.#options = options
  }

  /** `onWalk` is called before a file has to be walked. @throws GatewayError as staging and walking do, and as `onWalk` does */
  async inspect(version: ModelVersion, signal: AbortSignal, onWalk?: () => void): Promise<Inspection> {
    const { find, stage, walk } = this.#options
    const manifest = await find(version.sourceId)
    if (manifest !== undefined) return { signature: manifest.signature, artifact: artifactFacts(manifest) }
    onWalk?.()
    const staged = await stage(version, signal)
    try {
      return { signature: await walk({ ...staged, tenant: version.tenant }) }
    } finally {
      staged.release()
    }
  }
}

function artifactFacts({ form, plainReason, probe }: Manifest): NonNullable<Inspection['artifact']> {
  return {
    form,
    ...(plainReason !== undefined && { plainReason }),
    ...(probe !== undefined && { isBatchSafe: probe.isBatchSafe, batchReason: probe.batchReason }),
  }
}
