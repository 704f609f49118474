/**
 * An ONNX model as plain data: what the writer can express, in the terms of onnx.proto.
 * Nothing here checks that a model makes sense: refused and hostile models are written with the same types as good ones.
 */

/** TensorProto.DataType numbers. */
export const DATA_TYPE = {
  FLOAT: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  STRING: 8,
  BOOL: 9,
  FLOAT16: 10,
  DOUBLE: 11,
  UINT32: 12,
  UINT64: 13,
} as const

/** Any TensorProto.DataType number, those above included. */
export type DataType = number

/** A dimension: fixed, or symbolic by name. */
export type Dim = number | string

/** Where a tensor's values are and in which field of TensorProto they are written. Values are little-endian, row-major. */
export type TensorData =
  /** `raw_data`. */
  | { readonly kind: 'raw'; readonly bytes: Uint8Array }
  /** Values made when they are written, for tensors that should never be in memory whole; `chunks` may be called again. */
  | { readonly kind: 'stream'; readonly byteLength: number; readonly chunks: () => Iterable<Uint8Array> }
  /** `float_data` or `int64_data`: the verbose form that small constants often have. */
  | { readonly kind: 'floats' | 'ints'; readonly values: readonly number[] }
  /** `string_data`, in UTF-8. */
  | { readonly kind: 'strings'; readonly values: readonly string[] }
  /** `data_location` EXTERNAL with these `external_data` entries, written as they are, in this order. */
  | { readonly kind: 'external'; readonly entries: Readonly<Record<string, string>> }

export interface OnnxTensor {
  readonly name: string
  readonly dataType: DataType
  readonly dims: readonly number[]
  readonly data: TensorData
}

export type OnnxAttribute =
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'ints' | 'floats'; readonly values: ArrayLike<number> }
  | { readonly kind: 'strings'; readonly values: readonly string[] }
  | { readonly kind: 'tensor'; readonly value: OnnxTensor }
  | { readonly kind: 'tensors'; readonly values: readonly OnnxTensor[] }
  | { readonly kind: 'graph'; readonly value: OnnxGraph }
  | { readonly kind: 'graphs'; readonly values: readonly OnnxGraph[] }
  /** In a function's body: the value comes from the calling node's attribute of this name; `of` is the value's kind. */
  | { readonly kind: 'reference'; readonly to: string; readonly of: 'int' | 'float' | 'tensor' }

export interface OnnxNode {
  readonly opType: string
  readonly domain?: string
  readonly name?: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>
}

/** A graph's input, output or intermediate value. `dims` absent: the rank is unknown. */
export interface OnnxValue {
  readonly name: string
  readonly dataType: DataType
  readonly dims?: readonly Dim[]
}

export interface OnnxGraph {
  readonly name: string
  readonly nodes: readonly OnnxNode[]
  readonly initializers: readonly OnnxTensor[]
  readonly inputs: readonly OnnxValue[]
  readonly outputs: readonly OnnxValue[]
}

/** A model-local function; its constants are Constant nodes, for a FunctionProto has no initializers. */
export interface OnnxFunction {
  readonly domain: string
  readonly name: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes?: readonly string[]
  readonly nodes: readonly OnnxNode[]
  readonly opsets: Readonly<Record<string, number>>
}

export interface OnnxModel {
  readonly irVersion: number
  /** Domain to version; the standard operators' domain is the empty string. */
  readonly opsets: Readonly<Record<string, number>>
  readonly graph: OnnxGraph
  readonly functions?: readonly OnnxFunction[]
  readonly metadata?: Readonly<Record<string, string>>
}

/** The opset every model here is written for: the last one before IR 9 and new enough for LayerNormalization. */
export const OPSET = 17

/** IR version 8 goes with opsets 15 to 18. */
export const IR_VERSION = 8

/** A model of this graph with the standard operators, plus other domains where they are given. */
export function modelOf(graph: OnnxGraph, extras: Partial<Omit<OnnxModel, 'graph'>> = {}): OnnxModel {
  return { irVersion: IR_VERSION, graph, ...extras, opsets: { '': OPSET, ...extras.opsets } }
}

/** The bytes of a typed array, without a copy. ONNX is little-endian, and so is every machine ONNX Runtime's Node binding is built for. */
export function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}

/** A tensor with `raw_data`. The array is kept, not copied: it must not change until the model is written. */
export function rawTensor(
  name: string,
  dataType: DataType,
  dims: readonly number[],
  values: ArrayBufferView,
): OnnxTensor {
  return { name, dataType, dims, data: { kind: 'raw', bytes: bytesOf(values) } }
}

/** Bytes of a tensor's values as far as they would be moved to a sidecar file; 0 for forms that always stay in the graph. */
export function movableBytes(tensor: OnnxTensor): number {
  if (tensor.data.kind === 'raw') return tensor.data.bytes.byteLength
  return tensor.data.kind === 'stream' ? tensor.data.byteLength : 0
}
