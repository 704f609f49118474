/** How a store reads remote objects, whatever the service is, and the ways in which a read fails. */
import type { RemoteFile } from '../domain/remote-source.ts'

export interface ObjectReader {
  /** Can it read from the middle of an object? Without, a read that broke off begins at the first byte again. */
  readonly ranges: boolean
  /** How long the first byte of a file may take where that is longer than a pause within it: some servers collect it first. */
  answerMs?(file: RemoteFile): number | undefined
  /**
   * The bytes [from, to) of the object exactly as it was resolved: an answer that is known to be another range or another object
   * rejects. May be called many times at once. An abort ends the answer too. What it gives and how long that takes is not
   * believed by the caller, who counts bytes and watches the time. The chunks are the caller's, who may give their memory back.
   * @throws ReadFailure; anything else counts as `unavailable`
   */
  read(file: RemoteFile, from: number, to: number, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>
}

/**
 * - `replaced`: the object is not the one that was resolved (412, 416)
 * - `denied`: 401, 403, or an address that is not allowed
 * - `missing`: 404, 410
 * - `slow-down`: 429, 503 SlowDown: fewer at a time
 * - `unavailable`: 5xx, reset, timeout, an answer that is not what was asked for: may pass
 */
export type ReadFailureKind = 'replaced' | 'denied' | 'missing' | 'slow-down' | 'unavailable'

/** The message goes to clients: it names no credentials, no signed address, and nothing of the body of an answer. */
export class ReadFailure extends Error {
  override readonly name = 'ReadFailure'
  readonly kind: ReadFailureKind
  /** When the service asked to come back, from now. */
  readonly retryAfterMs: number | undefined

  constructor(
    kind: ReadFailureKind,
    message: string,
    { retryAfterMs, ...options }: { readonly retryAfterMs?: number; readonly cause?: unknown } = {},
  ) {
    super(message, options)
    this.kind = kind
    this.retryAfterMs = retryAfterMs
  }
}

/** Whether a retry may go on where a read broke off: only what pins the object keeps two halves from being of different ones. */
export function canResume(reader: ObjectReader, { etag, versionId, isShared }: RemoteFile): boolean {
  return reader.ranges && (etag !== undefined || versionId !== undefined || isShared === true)
}
