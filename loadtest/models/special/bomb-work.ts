/** Small valid models whose work is the harm: memory or time, while they are optimised or while they run. */
import { GraphBuilder } from '../graph-builder.ts'
import type { OnnxGraph, OnnxModel } from '../onnx-model.ts'
import { DATA_TYPE, modelOf, rawTensor } from '../onnx-model.ts'

const { BOOL, FLOAT, INT64 } = DATA_TYPE

/**
 * y = x plus the largest of the maxima of all [window, window] windows of a constant [size, size] image: some 10^13 comparisons in one
 * node, hours of folding whatever the machine. Products of matrices would not do: folding keeps each of them, so that it runs into the
 * compiler's memory cap and gives up, on a fast machine before the compile deadline.
 */
export function endlessFolding(window = 2048, size = 4096): OnnxModel {
  const graph = new GraphBuilder('folding')
  const x = graph.input('x', FLOAT, ['N', 1])
  const shape = graph.int64s('shape', [1, 1, size, size])
  const image = graph.node('ConstantOfShape', [shape])
  const maxima = graph.node('MaxPool', [image], {
    attributes: { kernel_shape: { kind: 'ints', values: [window, window] } },
  })
  const largest = graph.node('ReduceMax', [maxima], { attributes: { keepdims: { kind: 'int', value: 0 } } })
  graph.node('Add', [x, largest], { outputs: ['y'] })
  graph.output('y', FLOAT, ['N', 1])
  return modelOf(graph.finish())
}

/** y = x after a loop that never ends, whatever x is; FP32 [N, 1]. */
export function endlessLoop(): OnnxModel {
  const graph = new GraphBuilder('endless')
  const x = graph.input('x', FLOAT, ['N', 1])
  const go = graph.initializer(rawTensor('go', BOOL, [], Uint8Array.of(1)))
  graph.node('Loop', ['', go, x], { attributes: { body: { kind: 'graph', value: carry() } }, outputs: ['y'] })
  graph.output('y', FLOAT, ['N', 1])
  return modelOf(graph.finish())
}

/** y = x after as many steps as the request's `steps` INT64 [1] says: 2^62 never end. */
export function endlessOnRequest(): OnnxModel {
  const graph = new GraphBuilder('endless_on_request')
  const steps = graph.input('steps', INT64, [1])
  const x = graph.input('x', FLOAT, ['N', 1])
  graph.node('Loop', [steps, '', x], { attributes: { body: { kind: 'graph', value: carry() } }, outputs: ['y'] })
  graph.output('y', FLOAT, ['N', 1])
  return modelOf(graph.finish())
}

/** sum FP32 [] of as many ones as the request's `size` INT64 [1] says. */
export function allocatingOnRequest(): OnnxModel {
  const graph = new GraphBuilder('allocating')
  const size = graph.input('size', INT64, [1])
  const one = rawTensor('one', FLOAT, [1], Float32Array.of(1))
  const filled = graph.node('ConstantOfShape', [size], { attributes: { value: { kind: 'tensor', value: one } } })
  graph.node('ReduceSum', [filled], { outputs: ['sum'], attributes: { keepdims: { kind: 'int', value: 0 } } })
  graph.output('sum', FLOAT, [])
  return modelOf(graph.finish())
}

/** y FP32 [size]: an answer as large as the request's `size` INT64 [1] says. */
export function answeringOnRequest(): OnnxModel {
  const graph = new GraphBuilder('answering')
  const size = graph.input('size', INT64, [1])
  const one = rawTensor('one', FLOAT, [1], Float32Array.of(1))
  graph.node('ConstantOfShape', [size], { attributes: { value: { kind: 'tensor', value: one } }, outputs: ['y'] })
  graph.output('y', FLOAT, ['size'])
  return modelOf(graph.finish())
}

/** A body that hands its state on and always wants to go on. */
function carry(): OnnxGraph {
  const body = new GraphBuilder('carry')
  body.input('iteration', INT64, [])
  const go = body.input('go_on', BOOL, [])
  const state = body.input('state', FLOAT, ['N', 1])
  body.output(body.node('Identity', [go]), BOOL, [])
  body.output(body.node('Neg', [state]), FLOAT, ['N', 1])
  return body.finish()
}
