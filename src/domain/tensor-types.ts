/**
 * The datatypes of the Open Inference Protocol and how each is laid out.
 * Raw tensor bytes are little-endian, row-major, without padding; a BYTES element is a uint32 length and its bytes.
 */

export interface DatatypeRow {
  /** Bytes of one element; 0 for BYTES, whose elements vary. */
  readonly bytes: number
  /** ONNX's TensorProto.DataType. */
  readonly onnx: number
  /** ONNX Runtime's name of the element type in JavaScript. */
  readonly ort: string
}

export const DATATYPES = {
  BOOL: { bytes: 1, onnx: 9, ort: 'bool' },
  UINT8: { bytes: 1, onnx: 2, ort: 'uint8' },
  UINT16: { bytes: 2, onnx: 4, ort: 'uint16' },
  UINT32: { bytes: 4, onnx: 12, ort: 'uint32' },
  UINT64: { bytes: 8, onnx: 13, ort: 'uint64' },
  INT8: { bytes: 1, onnx: 3, ort: 'int8' },
  INT16: { bytes: 2, onnx: 5, ort: 'int16' },
  INT32: { bytes: 4, onnx: 6, ort: 'int32' },
  INT64: { bytes: 8, onnx: 7, ort: 'int64' },
  FP16: { bytes: 2, onnx: 10, ort: 'float16' },
  FP32: { bytes: 4, onnx: 1, ort: 'float32' },
  FP64: { bytes: 8, onnx: 11, ort: 'float64' },
  BYTES: { bytes: 0, onnx: 8, ort: 'string' },
} as const satisfies Record<string, DatatypeRow>

export type Datatype = keyof typeof DATATYPES

export function isDatatype(text: string): text is Datatype {
  return Object.hasOwn(DATATYPES, text)
}

const BY_ONNX = new Map<number, Datatype>(Object.entries(DATATYPES).map(([name, row]) => [row.onnx, name as Datatype]))

/** The datatype of an ONNX element type, or undefined for those the protocol has no word for (BF16, complex, 4 and 8 bit floats). */
export function datatypeOfOnnx(elementType: number): Datatype | undefined {
  return BY_ONNX.get(elementType)
}

/** One input or output of a model as its graph declares it. */
export interface TensorSpec {
  readonly name: string
  readonly datatype: Datatype
  /** One entry a dimension: a size, a symbol that all dimensions of the same name share, or -1 for an unnamed free one. */
  readonly shape: readonly (number | string)[]
}

export interface Signature {
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
}

/** Number of elements of a shape of sizes; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  let count = 1
  for (const size of shape) count *= size
  return count
}

/**
 * Elements of a tensor in memory, row-major. BOOL is one byte of 0 or 1, FP16 the bits of IEEE 754 half precision,
 * BYTES a list of strings (valid UTF-8 without NUL: ONNX Runtime's binding mangles anything else).
 */
export type TensorData =
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Float32Array
  | Float64Array
  | readonly string[]

export interface Tensor {
  readonly name: string
  readonly datatype: Datatype
  readonly shape: readonly number[]
  readonly data: TensorData
}
