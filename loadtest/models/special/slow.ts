/**
 * A model that keeps its worker busy for as long as its input says, so that tests can hold a worker while they look around.
 * One iteration takes about 0.1 ms of one core; it cannot be interrupted.
 */
import { GraphBuilder } from '../graph-builder.ts'
import { DATA_TYPE, modelOf, type OnnxGraph } from '../onnx-model.ts'
import { int64Tensor, tensorNamed } from '../tensor.ts'
import { matrixTensor, WIDTH } from './affine.ts'
import type { CheckedModel } from './checked-model.ts'

/** steps INT64 [1] = iterations INT64 [1]. */
export function slow(): CheckedModel {
  const graph = new GraphBuilder('slow')
  const iterations = graph.input('iterations', DATA_TYPE.INT64, [1])
  const zero = graph.int64s('zero', [0])
  const start = graph.initializer(matrixTensor('start', 'slow start'))
  graph.node('Loop', [iterations, '', zero, start], {
    attributes: { body: { kind: 'graph', value: body() } },
    outputs: ['steps', 'state'],
  })
  graph.output('steps', DATA_TYPE.INT64, [1])
  return {
    model: modelOf(graph.finish()),
    inputs: (rng) => [int64Tensor('iterations', [1], BigInt64Array.of(BigInt(1 + rng.below(5))))],
    expected: (inputs) => [{ ...tensorNamed(inputs, 'iterations'), name: 'steps' }],
  }
}

function body(): OnnxGraph {
  const graph = new GraphBuilder('slow_body')
  graph.input('iteration', DATA_TYPE.INT64, [])
  const goOn = graph.input('go_on', DATA_TYPE.BOOL, [])
  const count = graph.input('count', DATA_TYPE.INT64, [1])
  const state = graph.input('state_in', DATA_TYPE.FLOAT, [WIDTH, WIDTH])
  graph.output(graph.node('Identity', [goOn]), DATA_TYPE.BOOL, [])
  graph.output(graph.node('Add', [count, graph.int64s('one', [1])]), DATA_TYPE.INT64, [1])
  const product = graph.node('MatMul', [state, graph.initializer(matrixTensor('body_weights', 'slow'))])
  graph.output(graph.node('Tanh', [product]), DATA_TYPE.FLOAT, [WIDTH, WIDTH])
  return graph.finish()
}
