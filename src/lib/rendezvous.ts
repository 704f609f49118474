/**
 * Rendezvous (highest random weight) hashing: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998.
 * Every node scores every key alone, so adding or losing a node moves only that node's share.
 */

/** FNV-1a (32 bit) over UTF-16 code units, then murmur3's finaliser so that near keys score far apart. */
export function hash32(text: string, seed = 0): number {
  let h = (0x811c9dc5 ^ seed) >>> 0
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h ^= h >>> 16
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** The nodes in order of preference for `key`; stable for equal inputs, whatever the order of `nodes`. */
export function rankByRendezvous<T>(key: string, nodes: readonly T[], idOf: (node: T) => string): T[] {
  return nodes
    .map((node) => ({ node, id: idOf(node), score: hash32(key, hash32(idOf(node))) }))
    .sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1))
    .map(({ node }) => node)
}

/** The first of `rankByRendezvous` without sorting or allocating. `nodes` must not be empty. */
export function homeByRendezvous<T>(key: string, nodes: readonly T[], idOf: (node: T) => string): T {
  let best: T | undefined
  let bestId = ''
  let bestScore = -1
  for (const node of nodes) {
    const id = idOf(node)
    const score = hash32(key, hash32(id))
    if (score > bestScore || (score === bestScore && id < bestId)) {
      best = node
      bestId = id
      bestScore = score
    }
  }
  if (best === undefined) throw new RangeError('rendezvous among no nodes')
  return best
}
