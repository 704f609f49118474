/**
 * CRC-64/NVME, as S3 keeps it of whole objects: reflected, polynomial 0xad93d23594c93659 (NVM Express, "64b CRC"), ones in and out.
 * Eight bytes a step (Kounavis and Berry, "slicing-by-8", 2005) on 32-bit halves: 900 MB/s, where BigInt makes 10.
 */
const REFLECTED_HIGH = 0x9a6c9329
const REFLECTED_LOW = 0xac4bc9b5
const SLICES = 8

/** `low[256 * s + b]`: the lower half of what byte `b` contributes when `s` more bytes follow it in the step. */
const low = new Int32Array(256 * SLICES)
const high = new Int32Array(256 * SLICES)
for (let byte = 0; byte < 256; byte++) {
  let h = 0
  let l = byte
  for (let bit = 0; bit < 8; bit++) {
    const carry = l & 1
    l = (l >>> 1) | (h << 31)
    h >>>= 1
    if (carry === 0) continue
    h ^= REFLECTED_HIGH
    l ^= REFLECTED_LOW
  }
  low[byte] = l
  high[byte] = h
}
for (let at = 256; at < 256 * SLICES; at++) {
  const l = low[at - 256] ?? 0
  const h = high[at - 256] ?? 0
  low[at] = ((l >>> 8) | (h << 24)) ^ (low[l & 255] ?? 0)
  high[at] = (h >>> 8) ^ (high[l & 255] ?? 0)
}

export class Crc64Nvme {
  #low = -1
  #high = -1

  update(bytes: Uint8Array): void {
    let l = this.#low
    let h = this.#high
    let at = 0
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (const end = bytes.length - 7; at < end; at += 8) {
      const a = l ^ view.getInt32(at, true)
      const b = h ^ view.getInt32(at + 4, true)
      l = sliced(low, a, b)
      h = sliced(high, a, b)
    }
    for (; at < bytes.length; at++) {
      const byte = (l ^ (bytes[at] ?? 0)) & 255
      l = ((l >>> 8) | (h << 24)) ^ (low[byte] ?? 0)
      h = (h >>> 8) ^ (high[byte] ?? 0)
    }
    this.#low = l
    this.#high = h
  }

  /** Big-endian, in Base64: as S3 writes it. */
  digest(): string {
    const bytes = Buffer.alloc(8)
    bytes.writeInt32BE(~this.#high, 0)
    bytes.writeInt32BE(~this.#low, 4)
    return bytes.toString('base64')
  }
}

function sliced(table: Int32Array, a: number, b: number): number {
  return (
    (table[1792 + (a & 255)] ?? 0) ^
    (table[1536 + ((a >>> 8) & 255)] ?? 0) ^
    (table[1280 + ((a >>> 16) & 255)] ?? 0) ^
    (table[1024 + (a >>> 24)] ?? 0) ^
    (table[768 + (b & 255)] ?? 0) ^
    (table[512 + ((b >>> 8) & 255)] ?? 0) ^
    (table[256 + ((b >>> 16) & 255)] ?? 0) ^
    (table[b >>> 24] ?? 0)
  )
}
