/**
 * A ModelKey compiled on this machine, as its manifest tells it. `mapped`: an optimised graph whose big tensors lie in
 * content-addressed blobs that every process maps; `plain`: the original, opened in full.
 */
import type { Signature } from './tensor-types.ts'

/** A tensor file shared by all artifacts whose tensors have these bytes. */
export interface BlobRef {
  /** SHA-256 of the bytes, hex; the file is `blobs/<first two>/<digest>`. */
  readonly digest: string
  readonly bytes: number
}

/** A file of an artifact, with the SHA-256 of its bytes in hex. */
export interface FileRef {
  readonly path: string
  readonly digest: string
  readonly bytes: number
}

/** What the probe measured in a process of its own, after the first answer. */
export interface ProbeResult {
  /** May requests be stacked along dimension 0? */
  readonly isBatchSafe: boolean
  /** Why not, or what showed it. */
  readonly batchReason: string
  /** Private (unshared) bytes of one open session, unpacked. */
  readonly privateBytes: number
  /** Extra private bytes while a run of 1 row and of 2 rows is under way. */
  readonly activationBytes: readonly [number, number]
  /** Median milliseconds of a run of one row, unpacked. */
  readonly runMs: number
  /** Memory mappings one open session takes. */
  readonly mappings: number
  /** With weights packed at open: is it worth it, and after how many runs. */
  readonly packed: {
    readonly openMs: number
    readonly runMs: number
    readonly privateBytes: number
    readonly paysAfterRuns: number | null
  }
}

export interface Manifest {
  /** Layout of this file; a reader refuses what it does not know, and the artifact is compiled again. */
  readonly format: 1
  /** Name of the artifact: hex digest of the fingerprint. Files: `<key>.onnx` and `<key>.json`. */
  readonly artifact: string
  readonly fingerprint: Fingerprint
  readonly form: 'mapped' | 'plain'
  /** Why the artifact is `plain`; absent for `mapped`. */
  readonly plainReason?: string
  /** File to open, relative to the cache folder. */
  readonly file: string
  readonly graph: { readonly digest: string; readonly bytes: number }
  readonly blobs: readonly BlobRef[]
  /** Of `plain`: the files copied beside the one to open, paths relative to the cache folder. */
  readonly files?: readonly FileRef[]
  readonly signature: Signature
  /** How the artifact's answers were checked: inputs made, inputs given by the owner, or left to the first request. */
  readonly check: 'generated' | 'given' | 'first-request'
  /**
   * What may be made up for it as inputs: less than `drawn` where runs on that ended the compiler or had to be stopped, which says
   * nothing of what clients send. Absent in manifests from before there was a choice: `drawn`.
   */
  readonly madeUp?: 'drawn' | 'ones' | 'none'
  /** Made for a GPU: some operators run on the CPU, because the device's provider has no kernel for them. */
  readonly needsCpu?: boolean
  /** Milliseconds by phase of the compile. */
  readonly timings: Readonly<Record<string, number>>
  /** Private bytes of one open session as the check saw them: the estimate until the probe ran. */
  readonly privateBytes: number
  /** Absent until the probe ran. */
  readonly probe?: ProbeResult
}

/** Everything an artifact depends on; two equal fingerprints have interchangeable artifacts. */
export interface Fingerprint {
  /** SHA-256 over the source's files, hex. */
  readonly source: string
  readonly ortVersion: string
  readonly provider: string
  /** CPU vendor, family and flags that ONNX Runtime's optimiser looks at, digested. */
  readonly cpu: string
  /** Compile options in canonical text. */
  readonly options: string
}
