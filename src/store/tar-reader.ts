/**
 * Reads a tar archive as it streams by: POSIX ustar with pax headers, and GNU long names, as the tars of GNU, BSD and Python write them.
 * Regular files and folders only: what an archive can do beyond that (links, devices, sparse files, two readings of one header) has no
 * place in a model, and is refused rather than interpreted. No library: those that are well kept are readers of everything.
 */
import { printable } from '../domain/model-ref.ts'

/** Not an archive of a model. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError'
  /** The bytes are not those that an archiver wrote, rather than what it should not have put in. */
  readonly isDamaged: boolean

  constructor(message: string, { isDamaged = false, ...options }: { isDamaged?: boolean; cause?: unknown } = {}) {
    super(message, options)
    this.isDamaged = isDamaged
  }
}

export interface TarEntry {
  readonly kind: 'file' | 'folder'
  /** As the archive has it; nothing about it is checked. */
  readonly path: string
  /** To be taken to its end before the next entry is asked for; empty for a folder. */
  readonly content: AsyncIterable<Uint8Array>
}

const BLOCK = 512
/** Of a header that is a file of its own: a path, and attributes that nobody here wants. */
const MAX_EXTENSION_BYTES = 64 * 1024
/** Of all kinds: an archive of nothing but headers is no model. */
const MAX_HEADERS = 50_000
const CHECKSUM = { at: 148, end: 156 }

/** What headers before an entry say of it. */
interface Extension {
  path?: string
  bytes?: number
}

/** @throws ArchiveError for what is cut off, damaged, or more than files and folders; and what `chunks` throws */
export async function* readTar(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry, void, undefined> {
  const source = new Source(chunks)
  let extension: Extension = {}
  for (let headers = 0; ; headers++) {
    if (headers > MAX_HEADERS) throw new ArchiveError(`it has more than ${MAX_HEADERS} entries`)
    const block = await source.exactly(BLOCK)
    if (block.every((byte) => byte === 0)) break
    const header = parseHeader(block)
    const { type } = header
    if (type === 'x' || type === 'L') {
      const text = await source.exactly(bounded(header.bytes))
      await source.exactly(padding(header.bytes))
      extension = type === 'L' ? { ...extension, path: textOf(text) } : { ...extension, ...parsePax(text) }
      continue
    }
    const path = extension.path ?? header.path
    const bytes = extension.bytes ?? header.bytes
    extension = {}
    if (type === 'g') await source.exactly(bounded(bytes))
    else if (type === '5' || (type === '0' && path.endsWith('/'))) {
      if (bytes !== 0) throw new ArchiveError(`the folder '${printable(path)}' has content`)
      yield { kind: 'folder', path, content: source.content(0) }
    } else if (type === '0') {
      yield { kind: 'file', path, content: source.content(bytes) }
      if (source.left > 0) throw new Error('an entry was left before its end')
    } else throw new ArchiveError(`'${printable(path)}' is ${KINDS[type] ?? 'of an unknown kind'}, not a file`)
    await source.exactly(padding(bytes))
  }
  // To the end, so that what is wrong with the compressed bytes behind it is known.
  await source.drain()
}

const KINDS: Readonly<Record<string, string>> = {
  '1': 'a hard link',
  '2': 'a symbolic link',
  '3': 'a device',
  '4': 'a device',
  '6': 'a pipe',
  S: 'a sparse file',
}

/** Bytes by number, out of chunks of any size. */
class Source {
  readonly #chunks: AsyncIterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array()
  /** Of the content that was given out. */
  left = 0

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  async exactly(bytes: number): Promise<Buffer> {
    const parts: Uint8Array[] = []
    for (let missing = bytes; missing > 0; ) {
      const part = await this.#upTo(missing)
      parts.push(part)
      missing -= part.length
    }
    return Buffer.concat(parts)
  }

  async *content(bytes: number): AsyncGenerator<Uint8Array, void, undefined> {
    this.left = bytes
    while (this.left > 0) {
      const part = await this.#upTo(this.left)
      this.left -= part.length
      yield part
    }
  }

  async drain(): Promise<void> {
    while ((await this.#chunks.next()).done !== true);
  }

  async #upTo(bytes: number): Promise<Uint8Array> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next()
      if (next.done === true) throw new ArchiveError('it ends in the middle', { isDamaged: true })
      this.#rest = next.value
    }
    const part = this.#rest.subarray(0, bytes)
    this.#rest = this.#rest.subarray(part.length)
    return part
  }
}

interface Header {
  readonly type: string
  readonly path: string
  readonly bytes: number
}

function parseHeader(block: Buffer): Header {
  let sum = 0
  for (const [at, byte] of block.entries()) sum += at >= CHECKSUM.at && at < CHECKSUM.end ? 0x20 : byte
  if (sum !== numberAt(block, CHECKSUM.at, CHECKSUM.end))
    throw new ArchiveError('it is no tar archive, or damaged', { isDamaged: true })
  const name = textOf(block.subarray(0, 100))
  // GNU's own format has times where POSIX has the beginning of the path.
  const isPosix = block.toString('latin1', 257, 263) === 'ustar\0'
  const prefix = isPosix ? textOf(block.subarray(345, 500)) : ''
  const type = block[156] === 0 ? '0' : block.toString('latin1', 156, 157)
  return { type, path: prefix === '' ? name : `${prefix}/${name}`, bytes: numberAt(block, 124, 136) }
}

/** Octal digits, or, above 8 GiB, big-endian behind a byte of 0x80. */
function numberAt(block: Buffer, from: number, to: number): number {
  const field = block.subarray(from, to)
  if (field[0] === 0x80) {
    const value = field.readUIntBE(field.length - 6, 6)
    if (field.subarray(1, -6).every((byte) => byte === 0)) return value
  }
  const text = /^ *([0-7]*)[ \0]*$/.exec(field.toString('latin1'))?.[1]
  if (text === undefined) throw new ArchiveError('a number in it is not one', { isDamaged: true })
  return text === '' ? 0 : Number.parseInt(text, 8)
}

/** Records of the form `27 path=some/where/else.bin\n`, where 27 is the length of all of it. */
function parsePax(text: Buffer): Extension {
  const extension: Extension = {}
  for (let at = 0; at < text.length; ) {
    const space = text.indexOf(0x20, at)
    const digits = space === -1 ? '' : text.toString('latin1', at, space)
    const length = /^[1-9][0-9]{0,5}$/.test(digits) ? Number(digits) : 0
    const end = at + length
    const equals = text.indexOf(0x3d, space)
    if (length === 0 || end > text.length || text[end - 1] !== 0x0a || equals === -1 || equals >= end)
      throw new ArchiveError('a header in it cannot be read', { isDamaged: true })
    const key = text.toString('utf8', space + 1, equals)
    const value = text.toString('utf8', equals + 1, end - 1)
    if (key === 'path') extension.path = value
    if (key === 'size') extension.bytes = sizeOf(value)
    if (key.startsWith('GNU.sparse')) throw new ArchiveError('it has sparse files')
    at = end
  }
  return extension
}

function sizeOf(text: string): number {
  const bytes = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(bytes)) throw new ArchiveError('a size in it is not a number', { isDamaged: true })
  return bytes
}

function bounded(bytes: number): number {
  if (bytes > MAX_EXTENSION_BYTES) throw new ArchiveError(`a header in it has more than ${MAX_EXTENSION_BYTES} bytes`)
  return bytes
}

function padding(bytes: number): number {
  return (BLOCK - (bytes % BLOCK)) % BLOCK
}

/** Up to the first NUL. */
function textOf(bytes: Buffer): string {
  const end = bytes.indexOf(0)
  return bytes.toString('utf8', 0, end === -1 ? bytes.length : end)
}
