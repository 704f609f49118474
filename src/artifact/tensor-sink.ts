import type { BlobRef } from '../domain/artifact.ts'
import type { ByteWindow } from './wire.ts'

/** Takes the tensors that leave a graph, and gives each the name of its content. */
export interface TensorSink {
  putBytes(bytes: Uint8Array): BlobRef
  /** The bytes [start, end) of a window. */
  putRange(window: ByteWindow, start: number, end: number): BlobRef
}
