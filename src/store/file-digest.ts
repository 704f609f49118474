/** Digests of a file that is still being written: reads what is there so far, from where it left off. Blocks its thread. */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { Crc64Nvme } from '../lib/crc64.ts'
import type { Digests } from './digest-messages.ts'

const READ_BYTES = 2 ** 20
/** One for all: a read ends before the next begins. */
let buffer: Buffer | undefined

export class FileDigest {
  readonly #fd: number
  readonly #wantsCrc: boolean
  #at = 0
  #sha256 = createHash('sha256')
  #crc64nvme: Crc64Nvme | undefined

  constructor(path: string, wantsCrc: boolean) {
    this.#fd = openSync(path, 'r')
    this.#wantsCrc = wantsCrc
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
      this.#crc64nvme?.update(chunk)
      this.#at += read
    }
  }

  restart(): void {
    this.#at = 0
    this.#sha256 = createHash('sha256')
    this.#crc64nvme = this.#wantsCrc ? new Crc64Nvme() : undefined
  }

  /** Of the first `bytes` bytes. Call `close` afterwards. */
  end(bytes: number): Digests {
    this.follow(bytes)
    const crc64nvme = this.#crc64nvme?.digest()
    return { sha256: this.#sha256.digest('hex'), ...(crc64nvme === undefined ? {} : { crc64nvme }) }
  }

  close(): void {
    closeSync(this.#fd)
  }
}
