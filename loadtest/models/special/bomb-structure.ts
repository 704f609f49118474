/** Files whose structure is the harm: too many, too deep, or in a circle. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { GraphBuilder } from '../graph-builder.ts'
import type { OnnxFunction, OnnxNode } from '../onnx-model.ts'
import { DATA_TYPE, modelOf, OPSET, rawTensor } from '../onnx-model.ts'
import { modelBytes } from '../onnx-writer.ts'
import { rawInput, rawModel, rawName, rawNodes, rawOutput } from './raw-graph.ts'

const { FLOAT, INT64 } = DATA_TYPE

/** y = x through a chain of `count` nodes; x and y FP32 [4]. */
export function manyNodes(count: number): Uint8Array {
  const value = (i: number): string => (i === 0 ? 'x' : i === count ? 'y' : `v${i}`)
  return rawModel([
    rawNodes(count, (i) => ({ opType: 'Neg', inputs: [value(i)], output: value(i + 1) })),
    rawName('many_nodes'),
    rawInput('x', FLOAT, [4]),
    rawOutput('y', FLOAT, [4]),
  ])
}

/** x FP32 [4] into `count` outputs. */
export function manyOutputs(count: number): Uint8Array {
  const outputs = Array.from({ length: count }, (_, i) => rawOutput(`y${i}`, FLOAT, [4]))
  return rawModel([
    rawNodes(count, (i) => ({ opType: 'Neg', inputs: ['x'], output: `y${i}` })),
    rawName('many_outputs'),
    rawInput('x', FLOAT, [4]),
    ...outputs,
  ])
}

/** y = x + one of `count` scalars; all of them are initializers. */
export function manyInitializers(count: number): Uint8Array {
  const graph = new GraphBuilder('many_initializers')
  graph.input('x', FLOAT, [4])
  for (let i = 0; i < count; i += 1) graph.initializer(rawTensor(`c${i}`, FLOAT, [1], Float32Array.of(i)))
  graph.node('Sum', ['x', ...Array.from({ length: count }, (_, i) => `c${i}`)], { outputs: ['y'] })
  graph.output('y', FLOAT, [4])
  return modelBytes(modelOf(graph.finish()))
}

/** Two nodes that wait for each other. */
export function cyclic(): Uint8Array {
  return rawModel([
    rawNodes(2, (i) => ({ opType: 'Add', inputs: ['x', `v${1 - i}`], output: `v${i}` })),
    rawName('cyclic'),
    rawInput('x', FLOAT, [4]),
    rawOutput('v0', FLOAT, [4]),
  ])
}

/** An input and an output of [2^31, 2^31, 2^31] elements; no request could carry it. */
export function hugeDeclared(): Uint8Array {
  const dims = [2 ** 31, 2 ** 31, 2 ** 31]
  return rawModel([
    rawNodes(1, () => ({ opType: 'Neg', inputs: ['x'], output: 'y' })),
    rawName('huge_declared'),
    rawInput('x', FLOAT, dims),
    rawOutput('y', FLOAT, dims),
  ])
}

/** y = x, and a node that carries a text of `bytes` bytes as an attribute nobody reads. */
export function giantAttribute(bytes: number): Uint8Array {
  const graph = new GraphBuilder('giant_attribute')
  graph.input('x', FLOAT, [4])
  graph.node('Constant', [], { attributes: { value_string: { kind: 'string', value: 'a'.repeat(bytes) } } })
  graph.node('Neg', ['x'], { outputs: ['y'] })
  graph.output('y', FLOAT, [4])
  return modelBytes(modelOf(graph.finish()))
}

/** `depth` functions, each of which calls the one below it twice: inlined, 2^depth nodes from `depth` lines. */
export function doublingFunctions(depth: number): Uint8Array {
  const domain = 'acme.doubling'
  const call = (level: number, input: string, output: string): OnnxNode =>
    level === 0
      ? { opType: 'Neg', inputs: [input], outputs: [output] }
      : { opType: `F${level}`, domain, inputs: [input], outputs: [output] }
  const functions: OnnxFunction[] = Array.from({ length: depth }, (_, i) => ({
    domain,
    name: `F${i + 1}`,
    inputs: ['a'],
    outputs: ['c'],
    opsets: { '': OPSET, [domain]: 1 },
    nodes: [call(i, 'a', 'b'), call(i, 'b', 'c')],
  }))
  const graph = new GraphBuilder('doubling')
  graph.input('x', FLOAT, [4])
  graph.node(`F${depth}`, ['x'], { domain, outputs: ['y'] })
  graph.output('y', FLOAT, [4])
  return modelBytes(modelOf(graph.finish(), { functions, opsets: { [domain]: 1 } }))
}

/** A function that calls itself. */
export function recursiveFunction(): Uint8Array {
  const domain = 'acme.recursion'
  const self: OnnxFunction = {
    domain,
    name: 'F',
    inputs: ['a'],
    outputs: ['b'],
    opsets: { '': OPSET, [domain]: 1 },
    nodes: [{ opType: 'F', domain, inputs: ['a'], outputs: ['b'] }],
  }
  const graph = new GraphBuilder('recursive')
  graph.input('x', FLOAT, [4])
  graph.node('F', ['x'], { domain, outputs: ['y'] })
  graph.output('y', FLOAT, [4])
  return modelBytes(modelOf(graph.finish(), { functions: [self], opsets: { [domain]: 1 } }))
}

/**
 * If in If, `depth` levels. Each level is one node around the next graph, so the file is written from the lengths of the inner levels
 * outwards, in time and bytes that grow with the depth only.
 */
export function deepBranches(depth: number): Uint8Array {
  const innermost = Buffer.concat([
    rawNodes(1, () => ({ opType: 'Identity', inputs: ['x'], output: 'r' })),
    rawOutput('r', FLOAT, [4]),
  ])
  const heads: Uint8Array[] = []
  let bytes = innermost.length
  const result = rawOutput('r', FLOAT, [4])
  for (let level = 0; level < depth; level += 1) {
    const head = ifAround(bytes)
    heads.push(head)
    bytes += head.length + result.length
  }
  const main = [...heads.toReversed(), innermost, ...heads.map(() => result)]
  return rawModel([...main, rawName('deep'), rawInput('c', DATA_TYPE.BOOL, [1]), rawInput('x', FLOAT, [4])])
}

/** The bytes before a branch's graph of `bytes` bytes, so that these bytes end the node. */
function ifAround(bytes: number): Uint8Array {
  const before = new BinaryWriter()
    .tag(1, WireType.LengthDelimited)
    .string('c')
    .tag(2, WireType.LengthDelimited)
    .string('r')
    .tag(4, WireType.LengthDelimited)
    .string('If')
    .finish()
  // name, type GRAPH, then the graph itself last.
  const attributeHead = new BinaryWriter()
    .tag(1, WireType.LengthDelimited)
    .string('then_branch')
    .tag(20, WireType.Varint)
    .uint32(5)
    .tag(6, WireType.LengthDelimited)
    .uint32(bytes)
    .finish()
  const attributeBytes = attributeHead.length + bytes
  const attribute = new BinaryWriter().tag(5, WireType.LengthDelimited).uint32(attributeBytes).finish()
  const nodeBytes = before.length + attribute.length + attributeBytes
  const node = new BinaryWriter().tag(1, WireType.LengthDelimited).uint32(nodeBytes).finish()
  return Buffer.concat([node, before, attribute, attributeHead])
}

/** A dense tensor of `elements` float32 that the file holds one value of. */
export function sparseBlowUp(elements: number): Uint8Array {
  const graph = new GraphBuilder('sparse')
  graph.input('x', FLOAT, [1])
  const sparse = Buffer.concat([
    tensorField(1, FLOAT, [1], Float32Array.of(1), 'w'),
    tensorField(2, INT64, [1], BigInt64Array.of(0n), 'w_indices'),
    new BinaryWriter().tag(3, WireType.Varint).uint64(elements).finish(),
  ])
  const sparseField = new BinaryWriter().tag(15, WireType.LengthDelimited).bytes(sparse).finish()
  return rawModel([
    Buffer.concat([
      rawNodes(1, () => ({ opType: 'ReduceMax', inputs: ['w'], output: 'm' })),
      rawNodes(1, () => ({ opType: 'Add', inputs: ['x', 'm'], output: 'y' })),
    ]),
    rawName('sparse'),
    sparseField,
    rawInput('x', FLOAT, [1]),
    rawOutput('y', FLOAT, [1]),
  ])
}

function tensorField(
  field: number,
  type: number,
  dims: readonly number[],
  values: ArrayBufferView,
  name: string,
): Uint8Array {
  const writer = new BinaryWriter().tag(field, WireType.LengthDelimited).fork()
  for (const size of dims) writer.tag(1, WireType.Varint).uint64(size)
  writer.tag(2, WireType.Varint).uint32(type)
  writer.tag(8, WireType.LengthDelimited).string(name)
  writer.tag(9, WireType.LengthDelimited).bytes(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  return writer.join().finish()
}
