/**
 * A protobuf message under construction as a list of byte pieces: small fields are gathered, big ones are kept by reference.
 * A 100 MB model is so written without a single copy of its weights, where nested writers would copy them once per level.
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'

/** Pieces of at least this size are kept by reference; below it a copy is cheaper than one more piece to write. */
const BY_REFERENCE_BYTES = 16 * 1024

const UINT32_LIMIT = 2 ** 32

/** Values below this have no sign bit in 32-bit arithmetic, and at most five bytes as a varint. */
const SHORT_VARINT_LIMIT = 2 ** 31
const MAX_SHORT_VARINT_BYTES = 5

export class ProtoParts {
  readonly #pieces: Uint8Array[] = []
  #writer = new BinaryWriter()
  #hasPending = false

  /** A varint field; negative numbers take ten bytes, as protobuf's int64 has it. `value` must be a safe integer. */
  int(field: number, value: number): void {
    const tagged = this.#pending().tag(field, WireType.Varint)
    // The 64-bit path goes through BigInt, ten times slower, and a tree ensemble has a million of these.
    if (value >= 0 && value < UINT32_LIMIT) tagged.uint32(value)
    else tagged.int64(BigInt(value))
  }

  float(field: number, value: number): void {
    this.#pending().tag(field, WireType.Bit32).float(value)
  }

  string(field: number, value: string): void {
    this.#pending().tag(field, WireType.LengthDelimited).string(value)
  }

  /** A bytes field. `value` may be kept by reference and must not change until the pieces are written. */
  bytes(field: number, value: Uint8Array): void {
    this.#pending().tag(field, WireType.LengthDelimited).uint32(value.byteLength)
    this.#append(value)
  }

  /** A bytes field whose value comes in chunks that together have `byteLength` bytes; all are held until written. */
  stream(field: number, byteLength: number, chunks: Iterable<Uint8Array>): void {
    this.#pending().tag(field, WireType.LengthDelimited).uint32(byteLength)
    for (const chunk of chunks) this.#append(chunk)
  }

  /** One varint field per value, unpacked. Non-negative 31-bit values are written by hand: a tree ensemble has a million of them. */
  repeatedInts(field: number, values: ArrayLike<number>): void {
    const tag = shortTag(field, WireType.Varint)
    const bytes = new Uint8Array(values.length * (1 + MAX_SHORT_VARINT_BYTES))
    let end = 0
    for (let i = 0; i < values.length; i += 1) {
      let value = values[i] ?? 0
      if (value < 0 || value >= SHORT_VARINT_LIMIT) {
        this.#append(bytes.slice(0, end))
        end = 0
        this.int(field, value)
        continue
      }
      bytes[end++] = tag
      for (; value > 0x7f; value >>>= 7) bytes[end++] = (value & 0x7f) | 0x80
      bytes[end++] = value
    }
    this.#append(bytes.slice(0, end))
  }

  /** One float field per value, unpacked. */
  repeatedFloats(field: number, values: ArrayLike<number>): void {
    const tag = shortTag(field, WireType.Bit32)
    const view = new DataView(new ArrayBuffer(values.length * 5))
    for (let i = 0; i < values.length; i += 1) {
      view.setUint8(5 * i, tag)
      view.setFloat32(5 * i + 1, values[i] ?? 0, true)
    }
    this.#append(new Uint8Array(view.buffer))
  }

  /** One string field per value; each distinct text is encoded once. */
  repeatedStrings(field: number, values: readonly string[]): void {
    const encoded = new Map<string, Uint8Array>()
    const encode = (value: string): Uint8Array => {
      const bytes = encoded.get(value) ?? new BinaryWriter().tag(field, WireType.LengthDelimited).string(value).finish()
      encoded.set(value, bytes)
      return bytes
    }
    this.#append(Buffer.concat(values.map(encode)))
  }

  packedFloats(field: number, values: readonly number[]): void {
    const packed = new BinaryWriter()
    for (const value of values) packed.float(value)
    this.bytes(field, packed.finish())
  }

  packedInts(field: number, values: readonly number[]): void {
    const packed = new BinaryWriter()
    for (const value of values) packed.int64(value)
    this.bytes(field, packed.finish())
  }

  /** A nested message; `child` must be complete. */
  message(field: number, child: ProtoParts): void {
    const pieces = child.finish()
    this.#pending().tag(field, WireType.LengthDelimited).uint32(totalBytes(pieces))
    for (const piece of pieces) this.#append(piece)
  }

  /** The message's pieces in order. Later fields may still be added; the list then grows. */
  finish(): readonly Uint8Array[] {
    this.#flush()
    return this.#pieces
  }

  #append(bytes: Uint8Array): void {
    if (bytes.byteLength < BY_REFERENCE_BYTES) {
      this.#pending().raw(bytes)
      return
    }
    this.#flush()
    this.#pieces.push(bytes)
  }

  #pending(): BinaryWriter {
    this.#hasPending = true
    return this.#writer
  }

  #flush(): void {
    if (!this.#hasPending) return
    const bytes = this.#writer.finish()
    this.#writer = new BinaryWriter()
    this.#hasPending = false
    this.#pieces.push(bytes)
  }
}

export function totalBytes(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, piece) => sum + piece.byteLength, 0)
}

/** A field's tag in one byte; fields up to 15 have one. */
function shortTag(field: number, type: WireType): number {
  if (field > 15) throw new RangeError(`field ${field} has a tag of more than one byte`)
  return (field << 3) | type
}
