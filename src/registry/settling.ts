/** Whether files are still being written. */
import type { Clock } from '../lib/clock.ts'

/**
 * Files have settled when their newest change (ctime: no program can set it back) is older than `settleMs` by the wall clock, or
 * when they were seen unchanged for that long: the second holds where the file server's clock and ours disagree.
 */
export function isSettled(newestChangeNs: bigint, unchangedSince: number, settleMs: number, clock: Clock): boolean {
  const ageMs = clock.wall() - Number(newestChangeNs / 1_000_000n)
  return (ageMs >= settleMs && ageMs >= 0) || clock.now() - unchangedSince >= settleMs
}
