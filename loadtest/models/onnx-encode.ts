/**
 * Encodes an OnnxModel as the pieces of a ModelProto. Field numbers are those of onnx.proto; attributes and dimensions are written
 * unpacked, as that file (proto2) declares them and as the Python package writes them.
 */
import type {
  OnnxAttribute,
  OnnxFunction,
  OnnxGraph,
  OnnxModel,
  OnnxNode,
  OnnxTensor,
  OnnxValue,
} from './onnx-model.ts'
import { movableBytes } from './onnx-model.ts'
import { ProtoParts } from './proto-parts.ts'

/** AttributeProto.AttributeType numbers. */
const ATTRIBUTE_TYPE = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
  tensors: 9,
  graphs: 10,
} as const

const EXTERNAL = 1

/**
 * Asked once for every initializer with movable bytes, subgraphs included, in file order: the `external_data` entries to write instead
 * of the values, or undefined to leave them in the graph.
 */
export type MoveOut = (tensor: OnnxTensor) => Readonly<Record<string, string>> | undefined

export function encodeModel(model: OnnxModel, moveOut: MoveOut = () => undefined): ProtoParts {
  const message = new ProtoParts()
  message.int(1, model.irVersion)
  message.string(2, 'modelmux-loadtest')
  message.message(7, encodeGraph(model.graph, moveOut))
  encodeOpsets(message, 8, model.opsets)
  encodeEntries(message, 14, model.metadata ?? {})
  for (const definition of model.functions ?? []) message.message(25, encodeFunction(definition, moveOut))
  return message
}

function encodeGraph(graph: OnnxGraph, moveOut: MoveOut): ProtoParts {
  const message = new ProtoParts()
  for (const node of graph.nodes) message.message(1, encodeNode(node, moveOut))
  message.string(2, graph.name)
  for (const tensor of graph.initializers) message.message(5, encodeInitializer(tensor, moveOut))
  for (const value of graph.inputs) message.message(11, encodeValue(value))
  for (const value of graph.outputs) message.message(12, encodeValue(value))
  return message
}

function encodeFunction(definition: OnnxFunction, moveOut: MoveOut): ProtoParts {
  const message = new ProtoParts()
  message.string(1, definition.name)
  for (const input of definition.inputs) message.string(4, input)
  for (const output of definition.outputs) message.string(5, output)
  for (const attribute of definition.attributes ?? []) message.string(6, attribute)
  for (const node of definition.nodes) message.message(7, encodeNode(node, moveOut))
  encodeOpsets(message, 9, definition.opsets)
  message.string(10, definition.domain)
  return message
}

function encodeNode(node: OnnxNode, moveOut: MoveOut): ProtoParts {
  const message = new ProtoParts()
  for (const input of node.inputs) message.string(1, input)
  for (const output of node.outputs) message.string(2, output)
  if (node.name !== undefined) message.string(3, node.name)
  message.string(4, node.opType)
  for (const [name, attribute] of Object.entries(node.attributes ?? {})) {
    message.message(5, encodeAttribute(name, attribute, moveOut))
  }
  if (node.domain !== undefined) message.string(7, node.domain)
  return message
}

function encodeAttribute(name: string, attribute: OnnxAttribute, moveOut: MoveOut): ProtoParts {
  const message = new ProtoParts()
  message.string(1, name)
  switch (attribute.kind) {
    case 'float':
      message.float(2, attribute.value)
      break
    case 'int':
      message.int(3, attribute.value)
      break
    case 'string':
      message.string(4, attribute.value)
      break
    case 'tensor':
      message.message(5, encodeTensor(attribute.value))
      break
    case 'graph':
      message.message(6, encodeGraph(attribute.value, moveOut))
      break
    case 'floats':
      message.repeatedFloats(7, attribute.values)
      break
    case 'ints':
      message.repeatedInts(8, attribute.values)
      break
    case 'strings':
      message.repeatedStrings(9, attribute.values)
      break
    case 'tensors':
      for (const value of attribute.values) message.message(10, encodeTensor(value))
      break
    case 'graphs':
      for (const value of attribute.values) message.message(11, encodeGraph(value, moveOut))
      break
    case 'reference':
      message.string(21, attribute.to)
      break
  }
  message.int(20, ATTRIBUTE_TYPE[attribute.kind === 'reference' ? attribute.of : attribute.kind])
  return message
}

function encodeInitializer(tensor: OnnxTensor, moveOut: MoveOut): ProtoParts {
  const entries = movableBytes(tensor) > 0 ? moveOut(tensor) : undefined
  return encodeTensor(entries === undefined ? tensor : { ...tensor, data: { kind: 'external', entries } })
}

function encodeTensor({ name, dataType, dims, data }: OnnxTensor): ProtoParts {
  const message = new ProtoParts()
  for (const size of dims) message.int(1, size)
  message.int(2, dataType)
  message.string(8, name)
  switch (data.kind) {
    case 'raw':
      message.bytes(9, data.bytes)
      break
    case 'stream':
      message.stream(9, data.byteLength, data.chunks())
      break
    case 'floats':
      message.packedFloats(4, data.values)
      break
    case 'ints':
      message.packedInts(7, data.values)
      break
    case 'external':
      encodeEntries(message, 13, data.entries)
      message.int(14, EXTERNAL)
      break
    case 'strings':
      for (const value of data.values) message.string(6, value)
      break
  }
  return message
}

function encodeValue({ name, dataType, dims }: OnnxValue): ProtoParts {
  const tensorType = new ProtoParts()
  tensorType.int(1, dataType)
  if (dims !== undefined) {
    const shape = new ProtoParts()
    for (const dim of dims) {
      const message = new ProtoParts()
      if (typeof dim === 'number') message.int(1, dim)
      else message.string(2, dim)
      shape.message(1, message)
    }
    tensorType.message(2, shape)
  }
  const type = new ProtoParts()
  type.message(1, tensorType)
  const message = new ProtoParts()
  message.string(1, name)
  message.message(2, type)
  return message
}

function encodeOpsets(into: ProtoParts, field: number, opsets: Readonly<Record<string, number>>): void {
  for (const [domain, version] of Object.entries(opsets)) {
    const message = new ProtoParts()
    if (domain !== '') message.string(1, domain)
    message.int(2, version)
    into.message(field, message)
  }
}

function encodeEntries(into: ProtoParts, field: number, entries: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(entries)) {
    const message = new ProtoParts()
    message.string(1, key)
    message.string(2, value)
    into.message(field, message)
  }
}
