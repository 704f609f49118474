/** Names that a mistyped one may have meant. */

/** Edits (insert, delete, replace, swap of neighbours) that a near name may be away at most. */
const MAX_EDITS = 2
/** Letters between a common beginning and a common end that one edit, or two beside each other, can account for. */
const ONE_PLACE = 3
/** Candidates with edits in two places that are compared in full, about half a microsecond each. */
const MAX_SCATTERED = 1000

/**
 * Up to `limit` of `names`, the nearest first: within two edits of `name`, or else those that begin like it. Names that differ in
 * one place are all found; cheap filters keep one pass over 10,000 names near a millisecond.
 */
export function nearNames(name: string, names: Iterable<string>, limit = 3): string[] {
  const letters = letterSet(name)
  const beginning = Math.max(3, Math.ceil(name.length * 0.6))
  const near: Array<{ readonly candidate: string; readonly edits: number }> = []
  const related: string[] = []
  const rows = new Rows(name.length + MAX_EDITS)
  let scattered = 0
  for (const candidate of names) {
    const prefix = commonPrefix(name, candidate)
    if (prefix >= beginning && related.length < limit) related.push(candidate)
    if (Math.abs(candidate.length - name.length) > MAX_EDITS) continue
    const suffix = commonSuffix(name, candidate, prefix)
    if (name.length - prefix - suffix > ONE_PLACE) {
      // One edit changes the set of letters by two at most.
      if (scattered >= MAX_SCATTERED || bitCount(letterSet(candidate) ^ letters) > 2 * MAX_EDITS) continue
      scattered++
    }
    const end = (text: string) => text.length - suffix
    const edits = distance(name.slice(prefix, end(name)), candidate.slice(prefix, end(candidate)), MAX_EDITS, rows)
    if (edits <= MAX_EDITS && edits * 3 <= name.length) near.push({ candidate, edits })
  }
  near.sort((a, b) => a.edits - b.edits || (a.candidate < b.candidate ? -1 : 1))
  return [...new Set([...near.map(({ candidate }) => candidate), ...related])].slice(0, limit)
}

/** Three rows of the table of distances; only the band of `max` around its diagonal is filled (Ukkonen 1985). */
class Rows {
  beforeLast: Uint16Array
  last: Uint16Array
  current: Uint16Array

  constructor(columns: number) {
    this.beforeLast = new Uint16Array(columns + 1)
    this.last = new Uint16Array(columns + 1)
    this.current = new Uint16Array(columns + 1)
  }

  turn(): void {
    const free = this.beforeLast
    this.beforeLast = this.last
    this.last = this.current
    this.current = free
  }
}

/**
 * Optimal string alignment distance (Damerau 1964, restricted: no part is edited twice), or `max + 1` when it is over `max`.
 * Works on UTF-16 code units.
 */
function distance(a: string, b: string, max: number, rows: Rows): number {
  const far = max + 1
  if (Math.abs(a.length - b.length) > max) return far
  for (let column = 0; column <= b.length; column++) rows.last[column] = Math.min(column, far)
  for (let row = 1; row <= a.length; row++) {
    const { beforeLast, last, current } = rows
    const from = Math.max(1, row - max)
    const to = Math.min(b.length, row + max)
    const letter = a.charCodeAt(row - 1)
    let best = from === 1 ? Math.min(row, far) : far
    current[from - 1] = best
    for (let column = from; column <= to; column++) {
      const isSame = letter === b.charCodeAt(column - 1)
      const replaced = (last[column - 1] ?? far) + (isSame ? 0 : 1)
      const inserted = (current[column - 1] ?? far) + 1
      const deleted = (last[column] ?? far) + 1
      let edits = Math.min(replaced, inserted, deleted, far)
      if (
        row > 1 &&
        column > 1 &&
        letter === b.charCodeAt(column - 2) &&
        a.charCodeAt(row - 2) === b.charCodeAt(column - 1)
      ) {
        edits = Math.min(edits, (beforeLast[column - 2] ?? far) + 1)
      }
      current[column] = edits
      if (edits < best) best = edits
    }
    if (to < b.length) current[to + 1] = far
    if (best === far) return far
    rows.turn()
  }
  return Math.min(rows.last[b.length] ?? far, far)
}

function commonPrefix(a: string, b: string): number {
  const most = Math.min(a.length, b.length)
  let length = 0
  while (length < most && a.charCodeAt(length) === b.charCodeAt(length)) length++
  return length
}

/** Of what follows the first `prefix` letters. */
function commonSuffix(a: string, b: string, prefix: number): number {
  const most = Math.min(a.length, b.length) - prefix
  let length = 0
  while (length < most && a.charCodeAt(a.length - 1 - length) === b.charCodeAt(b.length - 1 - length)) length++
  return length
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
  return Math.imul((rest + (rest >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
