/**
 * Graphs written straight as protobuf fields, for files that no builder of objects would carry: a million nodes, a hundred thousand
 * levels. Field numbers are those of onnx.proto.
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { DataType } from '../onnx-model.ts'
import { IR_VERSION, OPSET } from '../onnx-model.ts'

const MODEL = { irVersion: 1, graph: 7, opsets: 8 } as const
const GRAPH = { node: 1, name: 2, input: 11, output: 12 } as const
const VALUE = { name: 1, type: 2, tensorType: 1, elementType: 1, shape: 2, dim: 1, dimValue: 1 } as const
const NODE = { input: 1, output: 2, opType: 4 } as const

/** A message's fields of one graph, in any number of pieces. */
export type GraphFields = readonly Uint8Array[]

/** A whole model file around the fields of its main graph. */
export function rawModel(fields: GraphFields): Uint8Array {
  const bytes = fields.reduce((sum, piece) => sum + piece.length, 0)
  const head = new BinaryWriter()
    .tag(MODEL.irVersion, WireType.Varint)
    .uint32(IR_VERSION)
    .tag(MODEL.opsets, WireType.LengthDelimited)
    .fork()
    .tag(2, WireType.Varint)
    .uint32(OPSET)
    .join()
    .tag(MODEL.graph, WireType.LengthDelimited)
    .uint32(bytes)
    .finish()
  return Buffer.concat([head, ...fields])
}

/** `count` nodes of the graph, made one by one. */
export function rawNodes(
  count: number,
  at: (i: number) => { readonly opType: string; readonly inputs: readonly string[]; readonly output: string },
): Uint8Array {
  const writer = new BinaryWriter()
  for (let i = 0; i < count; i += 1) {
    const { opType, inputs, output } = at(i)
    writer.tag(GRAPH.node, WireType.LengthDelimited).fork()
    for (const input of inputs) writer.tag(NODE.input, WireType.LengthDelimited).string(input)
    writer.tag(NODE.output, WireType.LengthDelimited).string(output)
    writer.tag(NODE.opType, WireType.LengthDelimited).string(opType).join()
  }
  return writer.finish()
}

export function rawInput(name: string, dataType: DataType, dims: readonly number[]): Uint8Array {
  return rawValue(GRAPH.input, name, dataType, dims)
}

export function rawOutput(name: string, dataType: DataType, dims: readonly number[]): Uint8Array {
  return rawValue(GRAPH.output, name, dataType, dims)
}

export function rawName(name: string): Uint8Array {
  return new BinaryWriter().tag(GRAPH.name, WireType.LengthDelimited).string(name).finish()
}

function rawValue(field: number, name: string, dataType: DataType, dims: readonly number[]): Uint8Array {
  const writer = new BinaryWriter().tag(field, WireType.LengthDelimited).fork()
  writer.tag(VALUE.name, WireType.LengthDelimited).string(name)
  writer.tag(VALUE.type, WireType.LengthDelimited).fork()
  writer.tag(VALUE.tensorType, WireType.LengthDelimited).fork()
  writer.tag(VALUE.elementType, WireType.Varint).uint32(dataType)
  writer.tag(VALUE.shape, WireType.LengthDelimited).fork()
  for (const size of dims) {
    writer.tag(VALUE.dim, WireType.LengthDelimited).fork().tag(VALUE.dimValue, WireType.Varint).uint64(size).join()
  }
  return writer.join().join().join().join().finish()
}
