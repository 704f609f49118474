/** Checksums that a service may have of an object beside, or instead of, its SHA-256. */
export type CrcKind = 'crc64nvme' | 'crc32'

/** What the store and its digest thread say to each other. `id` names one digest of one file. */
export type DigestCommand =
  | { readonly kind: 'begin'; readonly id: number; readonly path: string; readonly crc: CrcKind | undefined }
  /** The file's first `bytes` bytes are written and stay as they are. */
  | { readonly kind: 'follow'; readonly id: number; readonly bytes: number }
  /** The file is being written from its beginning again. */
  | { readonly kind: 'restart'; readonly id: number }
  | { readonly kind: 'end'; readonly id: number; readonly bytes: number }
  | { readonly kind: 'abandon'; readonly id: number }

export interface Digests {
  /** Hex. */
  readonly sha256: string
  /** Base64; only where it was asked for. */
  readonly crc?: string
}

export type DigestReply =
  | { readonly id: number; readonly digests: Digests }
  | { readonly id: number; readonly error: string }
