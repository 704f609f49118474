/** Reads the header of a TensorProto, and where its values are, without reading the values. */
import { printable } from '../domain/model-ref.ts'
import { DATA_LOCATION_EXTERNAL, ENTRY, isElementType, rawBytes, STRING_TYPE, TENSOR, typeName } from './onnx-fields.ts'
import { refusal } from './refusal.ts'
import type { ByteWindow } from './wire.ts'
import { FieldCursor, packedVarints, WIRE, WireError } from './wire.ts'

/** A range of bytes of the file the tensor is in. */
export interface Range {
  readonly start: number
  readonly end: number
}

export interface ExternalLocation {
  readonly location: string
  readonly offset: number
  /** Bytes; undefined: to the end of the file, or as many as the tensor's shape needs. */
  readonly length: number | undefined
}

export interface TensorHeader {
  readonly name: string
  readonly dataType: number
  readonly dims: readonly number[]
  /** Elements. */
  readonly count: number
  /** Bytes of the values in raw form; undefined for strings. */
  readonly bytes: number | undefined
  /** Payload of `raw_data`. */
  readonly raw: Range | undefined
  /** Typed fields (`float_data` and so on) hold values. */
  readonly hasTypedData: boolean
  readonly external: ExternalLocation | undefined
}

/** @throws GatewayError ARTIFACT_INVALID when sizes contradict each other, WireError when the bytes are no message */
export function readTensor(window: ByteWindow, start: number, end: number): TensorHeader {
  let name = ''
  let dataType = 0
  let raw: Range | undefined
  let hasTypedData = false
  let isExternal = false
  const dims: number[] = []
  const entries = new Map<string, string>()
  const field = new FieldCursor(window, start, end)
  while (field.next()) {
    switch (field.number) {
      case TENSOR.dims:
        field.expect(WIRE.varint, WIRE.bytes)
        if (field.wire === WIRE.varint) dims.push(field.value)
        else for (const dim of packedVarints(window, field.payload, field.end)) dims.push(Number(dim))
        break
      case TENSOR.dataType:
        dataType = field.int()
        break
      case TENSOR.name:
        name = field.text()
        break
      case TENSOR.rawData:
        field.expect(WIRE.bytes)
        raw = { start: field.payload, end: field.end }
        break
      case TENSOR.externalData:
        readEntry(window, field.expect(WIRE.bytes), entries)
        break
      case TENSOR.dataLocation:
        isExternal = field.int() === DATA_LOCATION_EXTERNAL
        break
      case TENSOR.floatData:
      case TENSOR.int32Data:
      case TENSOR.int64Data:
      case TENSOR.doubleData:
      case TENSOR.uint64Data:
      case TENSOR.stringData:
        hasTypedData = true
        break
    }
  }
  const count = elements(name, dims)
  if (!isElementType(dataType))
    throw refusal(`tensor '${printable(name)}' has the unknown element ${typeName(dataType)}; export the model again`)
  const bytes = rawBytes(dataType, count)
  const header = {
    name,
    dataType,
    dims,
    count,
    bytes,
    raw,
    hasTypedData,
    // Whatever its flag says: a reader that looks at the entries alone must find them checked.
    external: isExternal || entries.size > 0 ? externalOf(name, entries) : undefined,
  }
  checkRaw(header)
  return header
}

function elements(name: string, dims: readonly number[]): number {
  let count = 1
  for (const dim of dims) {
    if (dim < 0 || !Number.isSafeInteger(dim))
      throw refusal(`tensor '${printable(name)}' has the dimension ${dim}; a stored tensor has sizes of 0 or more`)
    count *= dim
  }
  if (!Number.isSafeInteger(count))
    throw refusal(`tensor '${printable(name)}' declares ${count} elements, more than any file holds`)
  return count
}

function checkRaw({ name, dataType, dims, bytes, raw, external }: TensorHeader): void {
  if (raw === undefined || external !== undefined) return
  const present = raw.end - raw.start
  if (dataType === STRING_TYPE)
    throw refusal(`tensor '${printable(name)}' holds strings as raw data, which ONNX does not allow`)
  if (present !== bytes) {
    throw refusal(
      `tensor '${printable(name)}' has ${present} bytes of data, but ${typeName(dataType)} of shape [${dims.join(', ')}] needs ${bytes}; the file is damaged or was exported wrong`,
    )
  }
}

function readEntry(window: ByteWindow, of: FieldCursor, entries: Map<string, string>): void {
  let key = ''
  let value = ''
  const field = new FieldCursor(window, of.payload, of.end)
  while (field.next()) {
    if (field.number === ENTRY.key) key = field.text()
    else if (field.number === ENTRY.value) value = field.text()
  }
  // Some readers take the first of two, some the last.
  if (entries.has(key)) throw new WireError(`the external data's ${printable(key)} is given twice`)
  entries.set(key, value)
}

function externalOf(name: string, entries: ReadonlyMap<string, string>): ExternalLocation {
  const location = entries.get('location')
  if (location === undefined || location === '')
    throw refusal(`tensor '${printable(name)}' is external but names no file`)
  return {
    location,
    offset: size(name, 'offset', entries.get('offset')) ?? 0,
    length: size(name, 'length', entries.get('length')),
  }
}

function size(name: string, key: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value))
    throw refusal(
      `tensor '${printable(name)}' has the external ${key} '${printable(text)}'; expected a number of bytes`,
    )
  return value
}

/** A constant of more elements is no list of axes. */
const MAX_CONSTANT_INTS = 16
const INT64_TYPE = 7
const INT64_BYTES = 8

/** The values of a small int64 tensor that is stored in the graph, as lists of axes are; undefined for any other. */
export function constantInts(window: ByteWindow, tensor: TensorHeader): readonly number[] | undefined {
  if (tensor.dataType !== INT64_TYPE || tensor.count > MAX_CONSTANT_INTS) return undefined
  if (tensor.raw === undefined || tensor.external !== undefined) return undefined
  const raw = window.slice(tensor.raw.start, tensor.raw.end)
  return Array.from({ length: tensor.count }, (_, i) => Number(raw.readBigInt64LE(i * INT64_BYTES)))
}
