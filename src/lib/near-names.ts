/** Names that a mistyped one may have meant. */

/** Edits (insert, delete, replace, swap of neighbours) that a near name may be away at most. */
const MAX_EDITS = 2
/** Candidates whose edit distance is worked out at most: 500 of them take well under a millisecond. */
const MAX_CANDIDATES = 500

/**
 * Up to `limit` of `names`, the nearest first: within two edits of `name`, or else those that continue or share a long
 * beginning with it. Two cheap filters (length, letters) keep one pass over 10,000 names near half a millisecond.
 */
export function nearNames(name: string, names: Iterable<string>, limit = 3): string[] {
  const letters = letterSet(name)
  const near: Array<{ readonly candidate: string; readonly edits: number }> = []
  const related: string[] = []
  let compared = 0
  const beginning = name.slice(0, Math.max(3, Math.ceil(name.length * 0.6)))
  for (const candidate of names) {
    const hasBeginning = name.length >= 3 && candidate.startsWith(beginning)
    if (hasBeginning && related.length < limit) related.push(candidate)
    if (Math.abs(candidate.length - name.length) > MAX_EDITS || compared >= MAX_CANDIDATES) continue
    // One edit changes the set of letters by two at most.
    if (bitCount(letterSet(candidate) ^ letters) > 2 * MAX_EDITS) continue
    if (!hasBeginning && !sharesEnd(candidate, name)) continue
    compared++
    const edits = editDistance(candidate, name, MAX_EDITS)
    if (edits <= MAX_EDITS && edits * 3 <= name.length) near.push({ candidate, edits })
  }
  near.sort((a, b) => a.edits - b.edits || (a.candidate < b.candidate ? -1 : 1))
  return [...new Set([...near.map(({ candidate }) => candidate), ...related])].slice(0, limit)
}

/**
 * Optimal string alignment distance (Damerau 1964, restricted), or `max + 1` as soon as it must be over `max`.
 * Works on UTF-16 code units.
 */
export function editDistance(a: string, b: string, max: number): number {
  if (Math.abs(a.length - b.length) > max) return max + 1
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    let best = row
    for (let column = 1; column <= b.length; column++) {
      const isSame = a.charCodeAt(row - 1) === b.charCodeAt(column - 1)
      let edits = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (isSame ? 0 : 1),
      )
      const isSwap =
        row > 1 &&
        column > 1 &&
        a.charCodeAt(row - 1) === b.charCodeAt(column - 2) &&
        a.charCodeAt(row - 2) === b.charCodeAt(column - 1)
      if (isSwap) edits = Math.min(edits, (beforeLast[column - 2] ?? 0) + 1)
      current.push(edits)
      best = Math.min(best, edits)
    }
    if (best > max) return max + 1
    beforeLast = last
    last = current
  }
  return Math.min(last[b.length] ?? 0, max + 1)
}

/** Two edits leave a common half at one of the ends of all but very short names. */
function sharesEnd(a: string, b: string): boolean {
  const half = Math.max(1, Math.floor(b.length / 3))
  return a.startsWith(b.slice(0, half)) || a.endsWith(b.slice(-half)) || a.includes(b.slice(half, 2 * half))
}

/** A bit for each letter that occurs, modulo 32. */
function letterSet(text: string): number {
  let bits = 0
  for (let i = 0; i < text.length; i++) bits |= 1 << (text.charCodeAt(i) & 31)
  return bits
}

function bitCount(bits: number): number {
  let rest = bits - ((bits >>> 1) & 0x55555555)
  rest = (rest & 0x33333333) + ((rest >>> 2) & 0x33333333)
  return (Math.imul((rest + (rest >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24) & 0xff
}
