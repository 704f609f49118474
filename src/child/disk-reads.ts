/** How much this process has made the kernel fetch from disks. */
import { readFile } from 'node:fs/promises'

/**
 * Bytes that reads of this process's threads found in no cache (`read_bytes` of /proc/self/io, proc(5)); undefined where the
 * kernel does not count them.
 */
export async function diskReadBytes(): Promise<number | undefined> {
  const io = await readFile('/proc/self/io', 'latin1').catch(() => '')
  const count = /^read_bytes: (\d+)$/m.exec(io)?.[1]
  return count === undefined ? undefined : Number(count)
}
