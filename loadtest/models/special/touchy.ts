/**
 * Honest models that inputs made up by somebody who does not know them do not suit: zeros or ones kill their process, or never come to an
 * end, where what their owner's clients send is answered. The killing division is that of `crashing`, hence x86 only.
 */
import { GraphBuilder } from '../graph-builder.ts'
import type { OnnxGraph } from '../onnx-model.ts'
import { DATA_TYPE, modelOf, rawTensor } from '../onnx-model.ts'
import type { NamedTensor } from '../tensor.ts'
import { int64Tensor, int64Values, tensorNamed } from '../tensor.ts'
import type { CheckedModel } from './checked-model.ts'

const { BOOL, INT32, INT64 } = DATA_TYPE
const LEAST = -(2 ** 31)
/** What clients send is from here on. */
const FIRST_HONEST = 3

/** y = -2^31 / (2 x - 1), INT32 [N, 2]: a zero kills its process, a one does not. */
export function diesOfZeros(): CheckedModel {
  const graph = new GraphBuilder('dies_of_zeros')
  const x = graph.input('x', INT32, ['N', 2])
  const doubled = graph.node('Mul', [x, constant(graph, 'two', 2)])
  return dividing(graph, graph.node('Sub', [doubled, constant(graph, 'one', 1)]), (value) => 2 * value - 1)
}

/** y = -2^31 / (x x - x - 1), INT32 [N, 2]: zeros and ones kill its process alike. */
export function diesOfOnesToo(): CheckedModel {
  const graph = new GraphBuilder('dies_of_ones_too')
  const x = graph.input('x', INT32, ['N', 2])
  const less = graph.node('Sub', [graph.node('Mul', [x, x]), x])
  return dividing(graph, graph.node('Sub', [less, constant(graph, 'one', 1)]), (value) => value * value - value - 1)
}

/** y = x, INT64 [1], after a loop that goes on as long as x is less than two: for ever, or not at all. */
export function neverEndsBelowTwo(): CheckedModel {
  const graph = new GraphBuilder('never_ends_below_two')
  const x = graph.input('x', INT64, [1])
  const isLess = graph.node('Less', [x, graph.int64s('two', [2])])
  graph.node('Loop', ['', isLess, x], { attributes: { body: { kind: 'graph', value: goesOn() } }, outputs: ['y'] })
  graph.output('y', INT64, [1])
  return {
    model: modelOf(graph.finish()),
    inputs: (rng) => [int64Tensor('x', [1], BigInt64Array.of(BigInt(FIRST_HONEST + rng.below(100))))],
    expected: (inputs) => [int64Tensor('y', [1], int64Values(inputs, 'x'))],
  }
}

function dividing(graph: GraphBuilder, divisor: string, of: (x: number) => number): CheckedModel {
  graph.node('Div', [constant(graph, 'least', LEAST), divisor], { outputs: ['y'] })
  graph.output('y', INT32, ['N', 2])
  return {
    model: modelOf(graph.finish()),
    inputs: (rng, batch) => [
      columns(
        'x',
        Array.from({ length: 2 * batch }, () => FIRST_HONEST + rng.below(100)),
      ),
    ],
    expected: (inputs) => [
      columns(
        'y',
        Array.from(tensorNamed(inputs, 'x').data as Int32Array, (x) => Math.trunc(LEAST / of(x))),
      ),
    ],
  }
}

function columns(name: string, values: readonly number[]): NamedTensor {
  return { name, datatype: 'INT32', shape: [values.length / 2, 2], data: Int32Array.from(values) }
}

function constant(graph: GraphBuilder, name: string, value: number): string {
  return graph.initializer(rawTensor(name, INT32, [], Int32Array.of(value)))
}

/** A loop's body that hands its state on and always wants to go on. */
function goesOn(): OnnxGraph {
  const body = new GraphBuilder('goes_on')
  body.input('iteration', INT64, [])
  const go = body.input('go_on', BOOL, [1])
  const state = body.input('state', INT64, [1])
  body.output(body.node('Identity', [go]), BOOL, [1])
  body.output(body.node('Neg', [state]), INT64, [1])
  return body.finish()
}
