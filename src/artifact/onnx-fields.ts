/** What onnx.proto and ONNX Runtime lay down: field numbers, element sizes, operator domains, the newest versions that can be run. */

export const MODEL = { irVersion: 1, graph: 7, opsetImport: 8, functions: 25 } as const
export const GRAPH = { node: 1, name: 2, initializer: 5, input: 11, output: 12, sparseInitializer: 15 } as const
export const NODE = { input: 1, output: 2, name: 3, opType: 4, attribute: 5, domain: 7 } as const
export const ATTRIBUTE = {
  name: 1,
  int: 3,
  tensor: 5,
  graph: 6,
  ints: 8,
  tensors: 10,
  graphs: 11,
  sparseTensor: 22,
  sparseTensors: 23,
} as const
export const TENSOR = {
  dims: 1,
  dataType: 2,
  floatData: 4,
  int32Data: 5,
  stringData: 6,
  int64Data: 7,
  name: 8,
  rawData: 9,
  doubleData: 10,
  uint64Data: 11,
  externalData: 13,
  dataLocation: 14,
} as const
export const SPARSE_TENSOR = { values: 1, indices: 2 } as const
export const FUNCTION = { name: 1, node: 7, opsetImport: 9, domain: 10, attribute: 11 } as const
export const VALUE_INFO = { name: 1, type: 2 } as const
export const TYPE = { tensor: 1, sequence: 4, map: 5, opaque: 7, sparseTensor: 8, optional: 9 } as const
export const TENSOR_TYPE = { elementType: 1, shape: 2 } as const
export const SHAPE = { dim: 1 } as const
export const DIM = { value: 1, symbol: 2 } as const
export const OPSET_ID = { domain: 1, version: 2 } as const
export const ENTRY = { key: 1, value: 2 } as const

export const DATA_LOCATION_EXTERNAL = 1
export const STRING_TYPE = 8

/** Bits of one element by TensorProto.DataType; strings (8) have no fixed size. Elements under a byte are packed, the last byte padded. */
const ELEMENT_BITS: Readonly<Record<number, number>> = {
  1: 32,
  2: 8,
  3: 8,
  4: 16,
  5: 16,
  6: 32,
  7: 64,
  9: 8,
  10: 16,
  11: 64,
  12: 32,
  13: 64,
  14: 64,
  15: 128,
  16: 16,
  17: 8,
  18: 8,
  19: 8,
  20: 8,
  21: 4,
  22: 4,
  23: 4,
  24: 8,
  25: 2,
  26: 2,
}

const TYPE_NAMES = [
  'UNDEFINED',
  'FLOAT',
  'UINT8',
  'INT8',
  'UINT16',
  'INT16',
  'INT32',
  'INT64',
  'STRING',
  'BOOL',
  'FLOAT16',
  'DOUBLE',
  'UINT32',
  'UINT64',
  'COMPLEX64',
  'COMPLEX128',
  'BFLOAT16',
  'FLOAT8E4M3FN',
  'FLOAT8E4M3FNUZ',
  'FLOAT8E5M2',
  'FLOAT8E5M2FNUZ',
  'UINT4',
  'INT4',
  'FLOAT4E2M1',
  'FLOAT8E8M0',
  'UINT2',
  'INT2',
]

export function typeName(dataType: number): string {
  return TYPE_NAMES[dataType] ?? `type ${dataType}`
}

export function isElementType(dataType: number): boolean {
  return dataType === STRING_TYPE || dataType in ELEMENT_BITS
}

/** Bytes of `count` elements in raw form; undefined for strings and unknown types. */
export function rawBytes(dataType: number, count: number): number | undefined {
  const bits = ELEMENT_BITS[dataType]
  return bits === undefined ? undefined : Math.ceil((count * bits) / 8)
}

export function bitsOf(dataType: number): number | undefined {
  return ELEMENT_BITS[dataType]
}

/** Domains whose operators ONNX Runtime itself implements. Nodes of a model's own functions are allowed beside them. */
export const RUNTIME_DOMAINS: readonly string[] = [
  '',
  'ai.onnx',
  'ai.onnx.ml',
  'ai.onnx.training',
  'ai.onnx.preview.training',
  'com.microsoft',
  'com.microsoft.nchwc',
  'com.microsoft.experimental',
  'com.ms.internal.nhwc',
]

/** The newest of each that ONNX Runtime 1.30 opens; beyond, its own message is long and does not say what to do. */
export const MAX_IR_VERSION = 13
export const MAX_OPSETS: Readonly<Record<string, number>> = { '': 26, 'ai.onnx': 26, 'ai.onnx.ml': 5 }
