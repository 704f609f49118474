/** What purges in S3 have in common. */

import type { S3Kept } from '../clients/s3-eraser.ts'
import { S3Error } from '../clients/s3-error.ts'
import type { Removed } from '../domain/purge.ts'
import { Semaphore } from '../lib/semaphore.ts'

const PARALLEL = 8

/** In the order of `items`. */
export async function eachOf<T, R>(
  items: readonly T[],
  signal: AbortSignal,
  task: (item: T) => Promise<R>,
): Promise<R[]> {
  const turns = new Semaphore(PARALLEL)
  return await Promise.all(items.map((item) => turns.use(() => task(item), signal)))
}

export function sumOf(kept: readonly S3Kept[]): Removed {
  return { count: kept.length, bytes: kept.reduce((sum, { bytes }) => sum + bytes, 0) }
}

export function isMissing(error: unknown): boolean {
  return error instanceof S3Error && error.kind === 'not-found'
}
