/** A model file taken apart: its graph, and its big tensors where they lie, each named by its digest. */

/** A stretch of a file that becomes a file of its own. */
export interface SplitTensor {
  /** Where the graph refers to it, relative to the graph's folder. */
  readonly path: string
  /** Hex. */
  readonly sha256: string
  readonly bytes: number
  /** Absolute path of the file that holds it, and its first byte there. */
  readonly file: string
  readonly from: number
}

export interface SplitModel {
  readonly graph: { readonly bytes: number; readonly sha256: string }
  /** Once each. */
  readonly tensors: readonly SplitTensor[]
  /** Data files of the model that the graph refers to no more, relative to its folder. */
  readonly dataFiles: readonly string[]
}

export interface SplitCall {
  /** Of the version. Data files are looked for nowhere else. */
  readonly dir: string
  /** Relative to `dir`. */
  readonly modelFile: string
  /** Every file of the version, relative to `dir`. */
  readonly files: readonly string[]
  /** The new graph; must not be there. */
  readonly graphFile: string
  /** An empty folder for tensors that have no raw form in the file. */
  readonly workDir: string
  /** Smaller tensors stay in the graph. */
  readonly minBytes: number
  readonly maxNodes: number
  readonly extraDomains: readonly string[]
}

/** `onBytes`: so many bytes of tensors more were read. @throws GatewayError ARTIFACT_INVALID for what is no model; the signal's reason */
export type SplitModelFile = (
  call: SplitCall,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
) => Promise<SplitModel>
