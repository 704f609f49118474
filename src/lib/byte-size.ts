/** Byte counts as people write them: `4GiB`, `512 MiB`, `1.5GB`, `1048576`. */
const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}

/** Bytes, or undefined when `text` is not a size. Fractions are rounded down to whole bytes. */
export function parseByteSize(text: string): number | undefined {
  const match = /^\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*$/.exec(text)
  const factor = match?.[2] === undefined ? undefined : UNITS[match[2]]
  if (match?.[1] === undefined || factor === undefined) return undefined
  const bytes = Math.floor(Number(match[1]) * factor)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** Two significant digits below 10, whole above: `512 B`, `1.5 KiB`, `97 MiB`. */
export function formatByteSize(bytes: number): string {
  if (Math.abs(Math.round(bytes)) < 1024) return `${Math.round(bytes)} B`
  let value = bytes
  let unit = 'B'
  for (unit of ['KiB', 'MiB', 'GiB', 'TiB']) {
    value /= 1024
    // As it will be written: 1023.7 KiB would read 1024 KiB.
    if (Math.abs(Math.round(value)) < 1024) break
  }
  return `${value.toFixed(Math.abs(value) < 9.95 ? 1 : 0)} ${unit}`
}
