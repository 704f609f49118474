/** How many client connections fit into the files that this process may have open, so that models and children still find some. */
import { readFile } from 'node:fs/promises'

/** Kept for everything that is no client: a share of the limit, and in small ones what a server with its children has open at rest. */
const OTHER_SHARE = 0.25
const OTHER_FILES = 128

/** Undefined where the system does not tell, or sets no limit. */
export async function readDescriptorLimit(): Promise<number | undefined> {
  const text = await readFile('/proc/self/limits', 'utf8').catch(() => '')
  const limit = /^Max open files\s+([0-9]+)/m.exec(text)?.[1]
  return limit === undefined ? undefined : Number(limit)
}

/** `wanted` connections, or as many as leave room for other files; at least one. */
export function connectionsWithin(limit: number | undefined, wanted: number): number {
  if (limit === undefined) return wanted
  return Math.max(1, Math.min(wanted, limit - Math.max(OTHER_FILES, Math.ceil(limit * OTHER_SHARE))))
}
