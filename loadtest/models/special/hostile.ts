/** Models that must be refused, or kept on a leash: each is a valid or nearly valid file that means harm. */
import { GraphBuilder } from '../graph-builder.ts'
import { DATA_TYPE, modelOf, type OnnxAttribute, type OnnxModel, rawTensor } from '../onnx-model.ts'

/** A few hundred bytes that ask for `elements` float32 while loading or at the first run; the default is 1 GiB. */
export function constantOfShapeBomb(elements = 2 ** 28): OnnxModel {
  const graph = new GraphBuilder('bomb')
  const x = graph.input('x', DATA_TYPE.FLOAT, ['N', 1])
  const filled = graph.node('ConstantOfShape', [graph.int64s('shape', [elements])])
  const sum = graph.node('ReduceSum', [filled], { attributes: { keepdims: { kind: 'int', value: 0 } } })
  graph.node('Add', [x, sum], { outputs: ['y'] })
  graph.output('y', DATA_TYPE.FLOAT, ['N', 1])
  return modelOf(graph.finish())
}

/** An operator of a domain that nobody registered. */
export function unknownDomain(): OnnxModel {
  return singleNode('Mystery', 'acme.custom')
}

/** An operator that the standard domain does not have. */
export function unknownOperator(): OnnxModel {
  return singleNode('NotAnOperator')
}

/** A node that makes the engine read a compiled cache from a path of the model's choosing. */
export function epContext(path = '../cache.bin'): OnnxModel {
  return singleNode('EPContext', 'com.microsoft', {
    main_context: { kind: 'int', value: 1 },
    embed_mode: { kind: 'int', value: 0 },
    ep_cache_context: { kind: 'string', value: path },
    source: { kind: 'string', value: 'OpenVINOExecutionProvider' },
  })
}

/** An initializer of 4 x 4 float32 whose raw data is `byteLength` bytes long; 64 would be right. */
export function wrongRawLength(byteLength = 60): OnnxModel {
  const graph = new GraphBuilder('wrong_raw_length')
  const x = graph.input('x', DATA_TYPE.FLOAT, ['N', 4])
  const w = graph.initializer(rawTensor('w', DATA_TYPE.FLOAT, [4, 4], new Uint8Array(byteLength)))
  graph.node('MatMul', [x, w], { outputs: ['y'] })
  graph.output('y', DATA_TYPE.FLOAT, ['N', 4])
  return modelOf(graph.finish())
}

/** An initializer that claims dimensions whose product overflows 64 bits, with no data. */
export function overflowingDims(): OnnxModel {
  const graph = new GraphBuilder('overflowing_dims')
  const x = graph.input('x', DATA_TYPE.FLOAT, ['N', 4])
  const w = graph.initializer(rawTensor('w', DATA_TYPE.FLOAT, [2 ** 40, 2 ** 40], new Uint8Array(0)))
  graph.node('MatMul', [x, w], { outputs: ['y'] })
  graph.output('y', DATA_TYPE.FLOAT, ['N', 4])
  return modelOf(graph.finish())
}

/** The first part of a file, as an interrupted copy leaves it. */
export function truncated(file: Uint8Array, share = 0.5): Uint8Array {
  return file.subarray(0, Math.floor(file.byteLength * share))
}

function singleNode(
  opType: string,
  domain?: string,
  attributes: Readonly<Record<string, OnnxAttribute>> = {},
): OnnxModel {
  const graph = new GraphBuilder('single_node')
  const x = graph.input('x', DATA_TYPE.FLOAT, ['N', 4])
  graph.node(opType, [x], { attributes, outputs: ['y'], ...(domain === undefined ? {} : { domain }) })
  graph.output('y', DATA_TYPE.FLOAT, ['N', 4])
  return modelOf(graph.finish(), domain === undefined ? {} : { opsets: { [domain]: 1 } })
}
