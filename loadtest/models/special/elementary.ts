/** Models of one or two nodes: every datatype in and out, arithmetic that can be checked by eye, and batch dimensions of all kinds. */
import { DATATYPES, type Datatype, elementCount } from '../../../src/domain/tensor-types.ts'
import { GraphBuilder } from '../graph-builder.ts'
import { DATA_TYPE, modelOf } from '../onnx-model.ts'
import type { Rng } from '../random.ts'
import { at } from '../reference-math.ts'
import { float32Tensor, float32Values, int64Tensor, int64Values, type NamedTensor, tensorNamed } from '../tensor.ts'
import type { CheckedModel } from './checked-model.ts'
import { sampleValues } from './sample-values.ts'

/** y = x, both [N, W] of any datatype. */
export function identity(datatype: Datatype): CheckedModel {
  const graph = new GraphBuilder('identity')
  const type = DATATYPES[datatype].onnx
  graph.node('Identity', [graph.input('x', type, ['N', 'W'])], { outputs: ['y'] })
  graph.output('y', type, ['N', 'W'])
  return {
    model: modelOf(graph.finish()),
    inputs: (rng, batch) => [{ name: 'x', datatype, shape: [batch, 3], data: sampleValues(datatype, rng, batch * 3) }],
    expected: (inputs) => [{ ...tensorNamed(inputs, 'x'), name: 'y' }],
  }
}

/** y = x + 1, both FP32 [N, 4]. */
export function addOne(): CheckedModel {
  const graph = new GraphBuilder('add_one')
  const x = graph.input('x', DATA_TYPE.FLOAT, ['N', 4])
  graph.node('Add', [x, graph.scalar('one', 1)], { outputs: ['y'] })
  graph.output('y', DATA_TYPE.FLOAT, ['N', 4])
  return rowwise(graph, 4, (x_) => x_.map((value) => value + 1))
}

/** y = x [64] in the shape that is asked for, INT64 [2]: runs only where the shape has 64 elements, which nobody would make up. */
export function reshaped(): CheckedModel {
  const graph = new GraphBuilder('reshaped')
  const x = graph.input('x', DATA_TYPE.FLOAT, [64])
  const shape = graph.input('shape', DATA_TYPE.INT64, [2])
  graph.node('Reshape', [x, shape], { outputs: ['y'] })
  graph.output('y', DATA_TYPE.FLOAT, ['rows', 'columns'])
  return {
    model: modelOf(graph.finish()),
    inputs: (rng, rows) => [
      bell('x', rng, [64]),
      int64Tensor('shape', [2], BigInt64Array.of(BigInt(rows), BigInt(64 / rows))),
    ],
    expected: (inputs) => [
      float32Tensor('y', Array.from(int64Values(inputs, 'shape'), Number), float32Values(inputs, 'x')),
    ],
  }
}

/** Two inputs and two outputs, FP32 [N, 2]: sum = a + b, difference = a - b. */
export function sumAndDifference(): CheckedModel {
  const graph = new GraphBuilder('sum_and_difference')
  const a = graph.input('a', DATA_TYPE.FLOAT, ['N', 2])
  const b = graph.input('b', DATA_TYPE.FLOAT, ['N', 2])
  graph.node('Add', [a, b], { outputs: ['sum'] })
  graph.node('Sub', [a, b], { outputs: ['difference'] })
  graph.output('sum', DATA_TYPE.FLOAT, ['N', 2])
  graph.output('difference', DATA_TYPE.FLOAT, ['N', 2])
  return {
    model: modelOf(graph.finish()),
    inputs: (rng, batch) => ['a', 'b'].map((name) => bell(name, rng, [batch, 2])),
    expected: (inputs) => {
      const left = float32Values(inputs, 'a')
      const right = float32Values(inputs, 'b')
      const { shape } = tensorNamed(inputs, 'a')
      return [
        float32Tensor(
          'sum',
          shape,
          left.map((value, i) => value + at(right, i)),
        ),
        float32Tensor(
          'difference',
          shape,
          left.map((value, i) => value - at(right, i)),
        ),
      ]
    },
  }
}

/** y = 2x with a batch dimension that is a number: FP32 [batch, 4], whatever `batch` the inputs are asked for. */
export function fixedBatch(batch: number): CheckedModel {
  const graph = new GraphBuilder('fixed_batch')
  const x = graph.input('x', DATA_TYPE.FLOAT, [batch, 4])
  graph.node('Add', [x, x], { outputs: ['y'] })
  graph.output('y', DATA_TYPE.FLOAT, [batch, 4])
  const checked = rowwise(graph, 4, (row) => row.map((value) => 2 * value))
  return { ...checked, inputs: (rng) => checked.inputs(rng, batch) }
}

/** y = x - the mean of x over the batch, FP32 [N, 4]: a row's answer depends on its neighbours. */
export function centredOverBatch(): CheckedModel {
  const graph = new GraphBuilder('centred_over_batch')
  const x = graph.input('x', DATA_TYPE.FLOAT, ['N', 4])
  const mean = graph.node('ReduceMean', [x], {
    attributes: { axes: { kind: 'ints', values: [0] }, keepdims: { kind: 'int', value: 1 } },
  })
  graph.node('Sub', [x, mean], { outputs: ['y'] })
  graph.output('y', DATA_TYPE.FLOAT, ['N', 4])
  return rowwise(graph, 4, (row, _, all) => row.map((value, column) => value - columnMean(all, column, 4)))
}

/** y = softmax of x over the batch, FP32 [N, 4]: batch-unsafe without any reduction operator. */
export function softmaxOverBatch(): CheckedModel {
  const graph = new GraphBuilder('softmax_over_batch')
  const x = graph.input('x', DATA_TYPE.FLOAT, ['N', 4])
  graph.node('Softmax', [x], { attributes: { axis: { kind: 'int', value: 0 } }, outputs: ['y'] })
  graph.output('y', DATA_TYPE.FLOAT, ['N', 4])
  return rowwise(graph, 4, (row, _, all) =>
    row.map((value, column) => Math.exp(value) / (columnMean(all.map(Math.exp), column, 4) * (all.length / 4))),
  )
}

/** rows [N, 4] of a table of `size` rows for ids INT64 [N]; an id outside fails the whole run. */
export function tableLookup(size = 16): CheckedModel {
  const graph = new GraphBuilder('table_lookup')
  const table = Float32Array.from({ length: size * 4 }, (_, i) => i / 4)
  const ids = graph.input('ids', DATA_TYPE.INT64, ['N'])
  graph.node('Gather', [graph.weights('table', [size, 4], table), ids], { outputs: ['rows'] })
  graph.output('rows', DATA_TYPE.FLOAT, ['N', 4])
  return {
    model: modelOf(graph.finish()),
    inputs: (rng, batch) => [
      int64Tensor(
        'ids',
        [batch],
        BigInt64Array.from({ length: batch }, () => BigInt(rng.below(size))),
      ),
    ],
    expected: (inputs) => {
      const rows = Array.from(int64Values(inputs, 'ids'), (id) =>
        Array.from(table.subarray(Number(id) * 4, Number(id) * 4 + 4)),
      )
      return [float32Tensor('rows', [rows.length, 4], Float32Array.from(rows.flat()))]
    },
  }
}

/** A checked model of one FP32 input `x` and one output `y`, both [N, width], given how a row is answered. */
function rowwise(
  graph: GraphBuilder,
  width: number,
  answer: (row: Float32Array, index: number, all: Float32Array) => Float32Array,
): CheckedModel {
  return {
    model: modelOf(graph.finish()),
    inputs: (rng, batch) => [bell('x', rng, [batch, width])],
    expected: (inputs) => {
      const x = float32Values(inputs, 'x')
      const y = new Float32Array(x.length)
      for (let row = 0; row * width < x.length; row += 1) {
        y.set(answer(x.subarray(row * width, (row + 1) * width), row, x), row * width)
      }
      return [float32Tensor('y', tensorNamed(inputs, 'x').shape, y)]
    },
  }
}

function columnMean(all: Float32Array, column: number, width: number): number {
  let sum = 0
  for (let i = column; i < all.length; i += width) sum += at(all, i)
  return sum / (all.length / width)
}

function bell(name: string, rng: Rng, shape: readonly number[]): NamedTensor {
  return float32Tensor(name, shape, rng.fillBell(new Float32Array(elementCount(shape)), 1))
}
