/** Long ranges of a window in chunks of one reused buffer, for digests and copies of files that are larger than memory. */
import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync } from 'node:fs'
import { ByteWindow } from './wire.ts'

/** Larger reads gain nothing. */
const CHUNK_BYTES = 4 * 1024 * 1024

/** Iterates over the bytes [start, end); a chunk is valid until the next one is asked for. */
export class RangeReader implements Iterable<Buffer> {
  readonly #window: ByteWindow
  readonly #start: number
  readonly #end: number

  constructor(window: ByteWindow, start: number, end: number) {
    this.#window = window
    this.#start = start
    this.#end = end
  }

  *[Symbol.iterator](): Generator<Buffer> {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, this.#end - this.#start))
    for (let at = this.#start; at < this.#end; at += chunk.length) {
      yield this.#window.read(at, chunk.subarray(0, Math.min(chunk.length, this.#end - at)))
    }
  }
}

/** SHA-256 in hex of the bytes [start, end). */
export function digestWindow(window: ByteWindow, start: number, end: number): string {
  const digest = createHash('sha256')
  for (const chunk of new RangeReader(window, start, end)) digest.update(chunk)
  return digest.digest('hex')
}

/** Calls `use` with a window over a file that is open meanwhile. Files up to `holdBytes` are read into memory at once. */
export function withFile<T>(path: string, use: (window: ByteWindow) => T, holdBytes = 1024 * 1024): T {
  const fd = openSync(path, 'r')
  try {
    const { size } = fstatSync(fd)
    const file = ByteWindow.ofFile(fd, size)
    return use(size <= holdBytes ? ByteWindow.ofBuffer(file.slice(0, size)) : file)
  } finally {
    closeSync(fd)
  }
}
