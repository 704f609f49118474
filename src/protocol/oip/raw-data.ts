/**
 * Elements of a tensor as raw bytes: little-endian, row-major, without padding; BOOL one byte of 0 or 1; a BYTES element is a uint32
 * length and that many bytes of UTF-8. Hosts are little-endian: so is every machine that ONNX Runtime's binding is built for.
 */
import { isUtf8 } from 'node:buffer'
import type { Datatype, TensorData } from '../../domain/tensor-types.ts'
import { DATATYPES } from '../../domain/tensor-types.ts'
import { checkString } from './json-data.ts'
import { badValue, mismatch } from './tensor-errors.ts'

const LENGTH_BYTES = 4

type NumericArray = Exclude<TensorData, readonly string[]>

/**
 * A view of `bytes` where its address suits the type, else a copy. `count` = product of the shape.
 * @throws GatewayError TENSOR_MISMATCH when the number of bytes is wrong, BAD_INPUT_VALUE for an element that cannot be
 */
export function elementsFromBytes(input: string, datatype: Datatype, count: number, bytes: Buffer): TensorData {
  if (datatype === 'BYTES') return readStrings(input, count, bytes)
  const wanted = count * DATATYPES[datatype].bytes
  if (bytes.length !== wanted) {
    throw mismatch(input, `its binary data has ${bytes.length} bytes`, `${wanted} for ${count} elements of ${datatype}`)
  }
  if (datatype === 'BOOL') checkBools(input, bytes)
  return elementsView(datatype, aligned(bytes, DATATYPES[datatype].bytes), count)
}

/** `count` elements over the same memory as `bytes`, whose address must suit the type. */
export function elementsView(datatype: Exclude<Datatype, 'BYTES'>, bytes: Uint8Array, count: number): TensorData {
  return VIEWS[datatype](bytes.buffer, bytes.byteOffset, count)
}

/** The bytes of the elements: a view for numbers, a new buffer for strings. */
export function bytesFromElements(data: TensorData): Uint8Array {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  let total = 0
  for (const text of data) total += LENGTH_BYTES + Buffer.byteLength(text)
  const bytes = Buffer.allocUnsafe(total)
  let at = 0
  for (const text of data) {
    const length = bytes.write(text, at + LENGTH_BYTES)
    bytes.writeUInt32LE(length, at)
    at += LENGTH_BYTES + length
  }
  return bytes
}

type View = (buffer: ArrayBufferLike, byteOffset: number, count: number) => NumericArray

/** An element type's array over part of a buffer; the offset must suit the type. */
const VIEWS: Readonly<Record<Exclude<Datatype, 'BYTES'>, View>> = {
  BOOL: (buffer, offset, count) => new Uint8Array(buffer, offset, count),
  UINT8: (buffer, offset, count) => new Uint8Array(buffer, offset, count),
  UINT16: (buffer, offset, count) => new Uint16Array(buffer, offset, count),
  UINT32: (buffer, offset, count) => new Uint32Array(buffer, offset, count),
  UINT64: (buffer, offset, count) => new BigUint64Array(buffer, offset, count),
  INT8: (buffer, offset, count) => new Int8Array(buffer, offset, count),
  INT16: (buffer, offset, count) => new Int16Array(buffer, offset, count),
  INT32: (buffer, offset, count) => new Int32Array(buffer, offset, count),
  INT64: (buffer, offset, count) => new BigInt64Array(buffer, offset, count),
  FP16: (buffer, offset, count) => new Uint16Array(buffer, offset, count),
  FP32: (buffer, offset, count) => new Float32Array(buffer, offset, count),
  FP64: (buffer, offset, count) => new Float64Array(buffer, offset, count),
}

function aligned(bytes: Buffer, elementBytes: number): Uint8Array {
  return bytes.byteOffset % elementBytes === 0 ? bytes : Uint8Array.from(bytes)
}

function checkBools(input: string, bytes: Buffer): void {
  const bad = bytes.findIndex((byte) => byte > 1)
  if (bad !== -1) throw badValue(input, bad, bytes[bad], 'a byte of 0 or 1 for BOOL')
}

function readStrings(input: string, count: number, bytes: Buffer): readonly string[] {
  const texts: string[] = []
  let at = 0
  while (at < bytes.length) {
    const end = at + LENGTH_BYTES + (bytes.length - at < LENGTH_BYTES ? bytes.length : bytes.readUInt32LE(at))
    if (end > bytes.length) {
      throw mismatch(
        input,
        `element ${texts.length} runs past the end of its ${bytes.length} bytes`,
        'a uint32 length and that many bytes each',
      )
    }
    texts.push(readString(input, texts.length, bytes.subarray(at + LENGTH_BYTES, end)))
    at = end
  }
  if (texts.length !== count) throw mismatch(input, `its binary data has ${texts.length} elements`, `${count} of BYTES`)
  return texts
}

function readString(input: string, index: number, bytes: Buffer): string {
  if (!isUtf8(bytes))
    throw badValue(input, index, `bytes ${bytes.toString('hex', 0, 16)}`, 'valid UTF-8: the engine would mangle it')
  const text = bytes.toString()
  checkString(input, index, text)
  return text
}
