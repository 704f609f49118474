/**
 * A model that is good but for one value: ONNX Runtime divides integers with the machine's own instruction, and the quotient of the
 * least integer by -1 does not fit, which x86 answers with SIGFPE. (It checks for a divisor of zero, and throws.) Whether a run
 * kills its process is thus up to the request. Elsewhere than on x86 the division wraps around and nobody dies.
 */
import { GraphBuilder } from '../graph-builder.ts'
import { DATA_TYPE, modelOf, rawTensor } from '../onnx-model.ts'
import type { NamedTensor } from '../tensor.ts'
import { tensorNamed } from '../tensor.ts'
import type { CheckedModel } from './checked-model.ts'

/** The value of `x` whose run kills the process. */
export const POISON = -(2 ** 31)

/** y = x / -1; x and y INT32 [N, 1], rows independent. Any `POISON` among the values ends the process by SIGFPE. */
export function crashing(): CheckedModel {
  const graph = new GraphBuilder('crashing')
  const x = graph.input('x', DATA_TYPE.INT32, ['N', 1])
  const divisor = graph.initializer(rawTensor('divisor', DATA_TYPE.INT32, [], Int32Array.of(-1)))
  graph.node('Div', [x, divisor], { outputs: ['y'] })
  graph.output('y', DATA_TYPE.INT32, ['N', 1])
  return {
    model: modelOf(graph.finish()),
    inputs: (rng, batch) => [
      column(
        'x',
        Array.from({ length: batch }, () => rng.below(1000) - 500),
      ),
    ],
    expected: (inputs) => [
      column(
        'y',
        Array.from(tensorNamed(inputs, 'x').data as Int32Array, (value) => -value),
      ),
    ],
  }
}

/** Inputs of `crashing` that kill the process: POISON, then the numbers given, which make it another body. */
export function poisonInputs(...others: readonly number[]): NamedTensor[] {
  return [column('x', [POISON, ...others])]
}

function column(name: string, values: readonly number[]): NamedTensor {
  return { name, datatype: 'INT32', shape: [values.length, 1], data: Int32Array.from(values) }
}
