/** Refuses a compile that would fill the disk: the last gigabyte belongs to whoever else lives there. */
import { statfs } from 'node:fs/promises'
import { GatewayError } from '../domain/errors.ts'
import { formatByteSize } from '../lib/byte-size.ts'

/** An artifact takes a little more than its source; when all its tensors are known already, far less. */
const ARTIFACT_PER_SOURCE = 1.1
const RETRY_MS = 5_000

/** @throws GatewayError CAPACITY_EXHAUSTED with the arithmetic */
export async function requireFreeDisk(dir: string, sourceBytes: number, minFreeBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dir)
  const freeBytes = bavail * bsize
  const needBytes = Math.ceil(sourceBytes * ARTIFACT_PER_SOURCE)
  if (freeBytes - needBytes >= minFreeBytes) return
  throw new GatewayError(
    'CAPACITY_EXHAUSTED',
    `the disk of the cache folder has ${formatByteSize(freeBytes)} free; the compiled model takes up to ${formatByteSize(needBytes)}, and ${formatByteSize(minFreeBytes)} are to stay free`,
    { retryAfterMs: RETRY_MS, details: { freeBytes, needBytes, minFreeBytes } },
  )
}
