/** CRC-32 as zlib and S3 have it (ISO 3309). */
import { crc32 } from 'node:zlib'

export class Crc32 {
  #value = 0

  update(bytes: Uint8Array): void {
    this.#value = crc32(bytes, this.#value)
  }

  /** Big-endian, in Base64: as S3 writes it. */
  digest(): string {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(this.#value)
    return bytes.toString('base64')
  }
}
