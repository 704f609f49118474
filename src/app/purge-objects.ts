/** What purges in S3 have in common. */

import type { S3Kept } from '../clients/s3-eraser.ts'
import { S3Error } from '../clients/s3-error.ts'
import type { Removed } from '../domain/purge.ts'

/** Calls at a time. */
export const PARALLEL_CALLS = 8

export function sumOf(kept: readonly S3Kept[]): Removed {
  return { count: kept.length, bytes: kept.reduce((sum, { bytes }) => sum + bytes, 0) }
}

export function isMissing(error: unknown): boolean {
  return error instanceof S3Error && error.kind === 'not-found'
}
