/**
 * Protobuf's wire format, read in place from memory or through a window over a file, so that a walk over a model of gigabytes
 * touches kilobytes. Synchronous: only compiler children read this way. Every declared length is checked against what is there.
 */
import { readSync } from 'node:fs'

/** The bytes are not what the wire format allows; the message says what and where. */
export class WireError extends Error {
  override readonly name = 'WireError'
}

const WINDOW_BYTES = 16 * 1024
const VARINT_MAX_BYTES = 10

/** Bytes of a buffer or a file: after `load(at, n)`, byte `at` is `buffer[at - base]` and `n` bytes (or all that are left) follow. */
export class ByteWindow {
  buffer: Buffer
  base = 0
  readonly size: number
  readonly #fd: number | undefined

  private constructor(buffer: Buffer, size: number, fd: number | undefined) {
    this.buffer = buffer
    this.size = size
    this.#fd = fd
  }

  static ofBuffer(buffer: Buffer): ByteWindow {
    return new ByteWindow(buffer, buffer.length, undefined)
  }

  /** `fd` must stay open while the window is read. */
  static ofFile(fd: number, size: number): ByteWindow {
    return new ByteWindow(Buffer.alloc(0), size, fd)
  }

  load(at: number, bytes: number): void {
    const wanted = Math.min(bytes, this.size - at)
    if (this.#fd === undefined || (at >= this.base && at + wanted <= this.base + this.buffer.length)) return
    const length = Math.min(Math.max(wanted, WINDOW_BYTES), this.size - at)
    this.buffer = readRange(this.#fd, at, Buffer.allocUnsafe(length))
    this.base = at
  }

  /** A copy, or a view of memory, of the bytes [start, end). */
  slice(start: number, end: number): Buffer {
    if (this.#fd === undefined) return this.buffer.subarray(start, end)
    return readRange(this.#fd, start, Buffer.allocUnsafe(end - start))
  }

  /** Fills `into` from position `at`. */
  read(at: number, into: Buffer): Buffer {
    if (this.#fd !== undefined) return readRange(this.#fd, at, into)
    this.buffer.copy(into, 0, at, at + into.length)
    return into
  }

  text(start: number, end: number): string {
    this.load(start, end - start)
    return this.buffer.toString('utf8', start - this.base, end - this.base)
  }
}

/** @throws WireError when the file is shorter than it was */
function readRange(fd: number, at: number, into: Buffer): Buffer {
  let done = 0
  while (done < into.length) {
    const got = readSync(fd, into, done, into.length - done, at + done)
    if (got === 0) throw new WireError(`the file ends at byte ${at + done}`)
    done += got
  }
  return into
}

/** Wire types; groups (3, 4) are not part of ONNX. */
export const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const

/** Walks the fields of one message, the bytes [start, end) of a window. One object a message, none a field. */
export class FieldCursor {
  /** Of the current field: its number, its wire type, */
  number = 0
  wire = 0
  /** the first byte of its tag, the first byte of its payload, and the byte after it; */
  start = 0
  payload = 0
  end: number
  /** and the value of a varint (as a signed 64-bit number; exact up to 2^53) or the length of a bytes field. */
  value = 0

  readonly #window: ByteWindow
  readonly #limit: number
  #at = 0

  constructor(window: ByteWindow, start: number, end: number) {
    this.#window = window
    this.#limit = end
    this.end = start
  }

  /** Moves to the next field. @throws WireError */
  next(): boolean {
    this.start = this.end
    if (this.start >= this.#limit) return false
    this.#at = this.start
    this.#window.load(this.start, 2 * VARINT_MAX_BYTES)
    const tag = this.#varint()
    this.number = Math.floor(tag / 8)
    this.wire = tag % 8
    if (this.number < 1 || this.number > 0x1fffffff) throw new WireError(`no field number at byte ${this.start}`)
    this.payload = this.#at
    switch (this.wire) {
      case WIRE.varint:
        this.value = this.#varint()
        this.end = this.#at
        break
      case WIRE.bytes:
        this.value = this.#varint()
        this.payload = this.#at
        this.end = this.payload + this.value
        break
      case WIRE.fixed32:
        this.end = this.payload + 4
        break
      case WIRE.fixed64:
        this.end = this.payload + 8
        break
      default:
        throw new WireError(`wire type ${this.wire} at byte ${this.start}`)
    }
    if (this.end > this.#limit || this.end < this.payload) {
      throw new WireError(
        `a field at byte ${this.start} declares ${this.end - this.payload} bytes where ${this.#limit - this.payload} are left`,
      )
    }
    return true
  }

  /**
   * The current field is of this wire type. Other readers skip a field that comes with another type than its own, so what is read in
   * two ways is refused. @throws WireError
   */
  expect(wire: number, or = wire): this {
    if (this.wire !== wire && this.wire !== or)
      throw new WireError(`field ${this.number} at byte ${this.start} has the wire type ${this.wire}`)
    return this
  }

  /** The value of the current field, which is a number. @throws WireError */
  int(): number {
    return this.expect(WIRE.varint).value
  }

  /** The bytes of the current length-delimited field as text. @throws WireError */
  text(): string {
    this.expect(WIRE.bytes)
    return this.#window.text(this.payload, this.end)
  }

  #varint(): number {
    const { buffer, base } = this.#window
    const limit = Math.min(this.#limit, base + buffer.length)
    let value = 0
    let scale = 1
    for (let count = 0; count < VARINT_MAX_BYTES; count++) {
      if (this.#at >= limit) throw new WireError(`the message ends inside a number at byte ${this.#at}`)
      const byte = buffer[this.#at - base] ?? 0
      this.#at++
      value += (byte & 0x7f) * scale
      scale *= 128
      if (byte < 0x80) return count < 7 ? value : this.#bigVarint(count + 1)
    }
    throw new WireError(`a number of more than ${VARINT_MAX_BYTES} bytes at byte ${this.#at - VARINT_MAX_BYTES}`)
  }

  /** Doubles lose the low bits of what has more than 53. */
  #bigVarint(bytes: number): number {
    const { buffer, base } = this.#window
    let value = 0n
    for (let i = 0; i < bytes; i++) value |= BigInt((buffer[this.#at - bytes + i - base] ?? 0) & 0x7f) << BigInt(7 * i)
    return Number(BigInt.asIntN(64, value))
  }
}

/** The numbers of a repeated varint field's packed form, bytes [start, end) of the window. @throws WireError */
export function* packedVarints(window: ByteWindow, start: number, end: number): Generator<bigint> {
  let value = 0n
  let shift = 0n
  for (let at = start; at < end; at++) {
    window.load(at, 1)
    const byte = window.buffer[at - window.base] ?? 0
    value |= BigInt(byte & 0x7f) << shift
    shift += 7n
    if (byte >= 0x80) {
      if (shift > 63n) throw new WireError(`a number of more than ${VARINT_MAX_BYTES} bytes at byte ${at}`)
      continue
    }
    yield BigInt.asIntN(64, value)
    value = 0n
    shift = 0n
  }
  if (shift !== 0n) throw new WireError(`the message ends inside a number at byte ${end}`)
}
