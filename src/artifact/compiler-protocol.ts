/** What a parent asks of its compiler child: calls carry JSON both ways. */
import type { BlobRef, FileRef, ProbeResult } from '../domain/artifact.ts'
import type { Device } from '../domain/device.ts'
import type { Signature } from '../domain/tensor-types.ts'
import type { GivenRequests } from './given-inputs.ts'
import type { MadeUp } from './sample-inputs.ts'
import type { WalkLimits } from './walk.ts'

export const COMPILER_CALLS = { hello: 1, examine: 2, compile: 3, probe: 4, verify: 5 } as const

export interface HelloCall {
  readonly device: Device
}

/** Versions that the child was built with, told once the device has shown that it works. */
export interface HelloReply {
  readonly ortVersion: string
}

/** Files of a source that matter, paths relative to the version's folder, the model file first. */
export interface SourceFiles {
  /** Absolute path of the version's folder. */
  readonly dir: string
  readonly modelFile: string
}

export interface ExamineCall extends SourceFiles {
  readonly limits: WalkLimits
  readonly allowHardLinks: boolean
  /** `.ort` files are as trusted as native code. */
  readonly allowOrt: boolean
  /** The source's digest where it is known; then nothing is hashed. */
  readonly digest?: string
  /** Only the signature is wanted: nothing is hashed. */
  readonly signatureOnly?: boolean
}

export interface ExamineReply {
  /** Absent for `.ort`, whose structure is walked once it was saved as ONNX. */
  readonly signature?: Signature
  /** Of If, Loop or Scan; absent as the signature is. */
  readonly hasBodies?: boolean
  /** Empty when only the signature was wanted. */
  readonly digest: string
  /** Of the files that matter, relative to the version's folder. */
  readonly files: readonly string[]
  readonly bytes: number
  readonly timings: Readonly<Record<string, number>>
}

export interface CompileCall extends SourceFiles, GivenRequests {
  /** Absolute path of the cache folder. */
  readonly cache: string
  readonly artifact: string
  /** What the artifact will run on, and is optimised and checked on. */
  readonly device: Device
  /** On a GPU: how far answers may lie from the CPU's, as a share of the output's deviation. */
  readonly maxDeviation: number
  readonly files: readonly string[]
  readonly bytes: number
  /** Absent for `.ort`. */
  readonly signature?: Signature
  readonly hasBodies?: boolean
  readonly limits: WalkLimits
  readonly minBlobBytes: number
  /** Sources up to this size are saved whole by the engine; larger ones with its external data, which protobuf's 2 GiB force. */
  readonly inlineLimitBytes: number
  readonly intraOpThreads: number
  /** What may be made up for the check where the owner gave none. */
  readonly madeUp: MadeUp
}

/** What a child says unasked when it begins to run a model on inputs that were made up. */
export const CHECKING = 'checking'

export interface CompileReply {
  readonly form: 'mapped' | 'plain'
  readonly plainReason?: string
  readonly file: string
  readonly graph: { readonly digest: string; readonly bytes: number }
  readonly blobs: readonly BlobRef[]
  readonly files?: readonly FileRef[]
  readonly signature: Signature
  readonly check: 'generated' | 'given' | 'first-request'
  readonly privateBytes: number
  /** On a GPU: some operators run on the CPU because the provider lacks them. */
  readonly needsCpu?: boolean
  readonly timings: Readonly<Record<string, number>>
}

export interface ProbeCall extends GivenRequests {
  readonly device: Device
  readonly graphBytes: number
  /** Graph and blobs together. */
  readonly bytes: number
  /** Absolute path of the cache folder, and the file to open in it. */
  readonly cache: string
  readonly file: string
  readonly form: 'mapped' | 'plain'
  readonly signature: Signature
  readonly limits: WalkLimits
  readonly intraOpThreads: number
  readonly madeUp: MadeUp
  /** How long the timed runs may take together; a slow model gets fewer of them. */
  readonly budgetMs: number
}

export type ProbeReply = ProbeResult

/** Digests files of the cache. */
export interface VerifyCall {
  readonly cache: string
  /** Relative path to expected SHA-256. */
  readonly files: Readonly<Record<string, string>>
}

export interface VerifyReply {
  /** Paths whose content is not what it was, or that are gone. */
  readonly corrupt: readonly string[]
}
