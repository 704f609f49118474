/** Makes an input smaller for as long as it shows the same finding: pieces are cut out, halves first, single bytes last. */

/** Enough for inputs of a kilobyte; a smaller one only helps who reads it, and a finding may be that each try is slow. */
const MAX_TRIES = 1000

/** `isSame`: does this input show the finding? */
export function minimise(input: Buffer, isSame: (smaller: Buffer) => boolean): Buffer {
  let best = input
  let tries = 0
  for (let size = Math.ceil(best.length / 2); size >= 1; size = Math.floor(size / 2)) {
    let at = 0
    while (at < best.length && tries < MAX_TRIES) {
      const smaller = Buffer.concat([best.subarray(0, at), best.subarray(at + size)])
      tries++
      // The next piece has come to the same place.
      if (isSame(smaller)) best = smaller
      else at += size
    }
  }
  return best
}
