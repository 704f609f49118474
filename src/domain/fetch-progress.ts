/** How far the fetch of a version's files is. */
export interface FetchProgress {
  readonly bytesDone: number
  readonly bytes: number
  readonly bytesPerSecond: number
  /** Milliseconds until the last byte; undefined while nothing is known of the pace. */
  readonly etaMs?: number
}
