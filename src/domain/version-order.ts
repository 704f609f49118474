/** Order of versions: by number, however many digits; equal numbers (`7`, `007`) by length. */
export function compareVersions(a: string, b: string): number {
  const left = significantDigits(a)
  const right = significantDigits(b)
  if (left.length !== right.length) return left.length - right.length
  if (left !== right) return left < right ? -1 : 1
  return a.length - b.length
}

function significantDigits(version: string): string {
  return version.replace(/^0+(?=.)/, '')
}
