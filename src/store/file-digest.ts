/** Digests of a file that is still being written: reads what is there so far, from where it left off. Blocks its thread. */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { Crc32 } from '../lib/crc32.ts'
import { Crc64Nvme } from '../lib/crc64.ts'
import type { CrcKind, Digests } from './digest-messages.ts'

const CRCS = { crc64nvme: Crc64Nvme, crc32: Crc32 }
const READ_BYTES = 2 ** 20
/** One for all: a read ends before the next begins. */
let buffer: Buffer | undefined

export class FileDigest {
  readonly #fd: number
  readonly #kind: CrcKind | undefined
  #at = 0
  #sha256 = createHash('sha256')
  #crc: { update(bytes: Uint8Array): unknown; digest(): string } | undefined

  constructor(path: string, kind: CrcKind | undefined) {
    this.#fd = openSync(path, 'r')
    this.#kind = kind
    this.restart()
  }

  /** Takes in the file up to byte `bytes`. @throws Error when the file ends before */
  follow(bytes: number): void {
    buffer ??= Buffer.allocUnsafeSlow(READ_BYTES)
    while (this.#at < bytes) {
      const read = readSync(this.#fd, buffer, 0, Math.min(READ_BYTES, bytes - this.#at), this.#at)
      if (read === 0) throw new Error(`the file ends at byte ${this.#at}; expected ${bytes}`)
      const chunk = buffer.subarray(0, read)
      this.#sha256.update(chunk)
      this.#crc?.update(chunk)
      this.#at += read
    }
  }

  restart(): void {
    this.#at = 0
    this.#sha256 = createHash('sha256')
    this.#crc = this.#kind === undefined ? undefined : new CRCS[this.#kind]()
  }

  /** Of the first `bytes` bytes. Call `close` afterwards. */
  end(bytes: number): Digests {
    this.follow(bytes)
    const crc = this.#crc?.digest()
    return { sha256: this.#sha256.digest('hex'), ...(crc === undefined ? {} : { crc }) }
  }

  close(): void {
    closeSync(this.#fd)
  }
}
