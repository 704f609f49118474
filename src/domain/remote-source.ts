/** Where the bytes of a version lie that is not on this machine, as its registry resolved it. */

/** One object of a version: immutable from here on. Another object at the same location is another version. */
export interface RemoteFile {
  /** Relative to the version's folder, with forward slashes; no `..`, backslash or NUL, not absolute. */
  readonly path: string
  readonly bytes: number
  /** `s3://bucket/key`, or the URL or path below the artifacts proxy: the reader that fetches it knows which. */
  readonly location: string
  /** Goes out as `If-Match` with every read, so that an object replaced meanwhile is seen. */
  readonly etag?: string
  /** Version of the object in S3: it cannot be replaced, so no `If-Match` is needed. */
  readonly versionId?: string
  /** Hex; from a manifest, a tag, or a checksum over the full object. Absent: integrity is weak (size and ETag). */
  readonly sha256?: string
  /** Base64; checksums over the full object, of which S3 has one or none. */
  readonly crc64nvme?: string
  readonly crc32?: string
  /** SageMaker's flat `<name>.tar.gz`, to be unpacked; then the version's files are those inside it. */
  readonly isArchive?: boolean
  /** The object is named by its `sha256`, at this place only ever with these bytes, and other versions may have it too. */
  readonly isShared?: boolean
}

export interface RemoteSource {
  readonly files: readonly RemoteFile[]
  /** Path of the model file where it is another than the registry could know. */
  readonly modelFile?: string
}
