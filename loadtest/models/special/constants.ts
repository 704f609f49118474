/** Models whose big weights are not initializers of the graph: Constant nodes, and model-local functions with constants and branches. */
import { GraphBuilder } from '../graph-builder.ts'
import { DATA_TYPE, modelOf, type OnnxFunction, type OnnxModel, type OnnxNode, OPSET } from '../onnx-model.ts'
import { float32Tensor, float32Values, tensorNamed } from '../tensor.ts'
import { matrixTensor, tanhStep, WIDTH } from './affine.ts'
import type { CheckedModel } from './checked-model.ts'
import { stepBody } from './control-flow.ts'

const FUNCTION_DOMAIN = 'acme.functions'

/** y = tanh(x W), W the value of a Constant node; x and y FP32 [N, 160]. */
export function constantNode(): CheckedModel {
  const graph = new GraphBuilder('constant_node')
  const x = graph.input('x', DATA_TYPE.FLOAT, ['N', WIDTH])
  const w = graph.node('Constant', [], {
    attributes: { value: { kind: 'tensor', value: matrixTensor('w', 'constant') } },
  })
  graph.node('Tanh', [graph.node('MatMul', [x, w])], { outputs: ['y'] })
  graph.output('y', DATA_TYPE.FLOAT, ['N', WIDTH])
  return stepped(modelOf(graph.finish()), (x_) => tanhStep(x_, 'constant'))
}

/** y = scale * tanh(tanh(x W) W): a function with a Constant node and an attribute, called twice; x and y FP32 [N, 160]. */
export function functionWithConstant(): CheckedModel {
  const step: OnnxFunction = {
    domain: FUNCTION_DOMAIN,
    name: 'Step',
    inputs: ['x'],
    outputs: ['y'],
    attributes: ['scale'],
    opsets: { '': OPSET },
    nodes: [
      constant('w', { value: { kind: 'tensor', value: matrixTensor('w', 'function') } }),
      constant('factor', { value_float: { kind: 'reference', to: 'scale', of: 'float' } }),
      { opType: 'MatMul', inputs: ['x', 'w'], outputs: ['product'] },
      { opType: 'Tanh', inputs: ['product'], outputs: ['bent'] },
      { opType: 'Mul', inputs: ['bent', 'factor'], outputs: ['y'] },
    ],
  }
  const graph = new GraphBuilder('function_with_constant')
  const call = (x: string, scale: number, outputs?: readonly string[]): string =>
    graph.node('Step', [x], {
      domain: FUNCTION_DOMAIN,
      attributes: { scale: { kind: 'float', value: scale } },
      ...(outputs === undefined ? {} : { outputs }),
    })
  call(call(graph.input('x', DATA_TYPE.FLOAT, ['N', WIDTH]), 1), 0.5, ['y'])
  graph.output('y', DATA_TYPE.FLOAT, ['N', WIDTH])
  const model = modelOf(graph.finish(), { functions: [step], opsets: { [FUNCTION_DOMAIN]: 1 } })
  return stepped(model, (x) => tanhStep(tanhStep(x, 'function'), 'function').map((value) => 0.5 * value))
}

/** y = tanh(x W): a function whose If has W as an initializer of its branches, the only initializers a function can have. */
export function functionWithBranches(): CheckedModel {
  const choose: OnnxFunction = {
    domain: FUNCTION_DOMAIN,
    name: 'Choose',
    inputs: ['x', 'positive'],
    outputs: ['y'],
    opsets: { '': OPSET },
    nodes: [
      {
        opType: 'If',
        inputs: ['positive'],
        outputs: ['y'],
        attributes: {
          then_branch: { kind: 'graph', value: stepBody('then_body', 'then') },
          else_branch: { kind: 'graph', value: stepBody('else_body', 'else') },
        },
      },
    ],
  }
  const graph = new GraphBuilder('function_with_branches')
  const x = graph.input('x', DATA_TYPE.FLOAT, ['N', WIDTH])
  // Whether x has more rows than none: true, and not known before the run.
  const rows = graph.node('Size', [x])
  const positive = graph.node('Greater', [rows, graph.int64s('none', [0])])
  graph.node('Choose', [x, positive], { domain: FUNCTION_DOMAIN, outputs: ['y'] })
  graph.output('y', DATA_TYPE.FLOAT, ['N', WIDTH])
  const model = modelOf(graph.finish(), { functions: [choose], opsets: { [FUNCTION_DOMAIN]: 1 } })
  return stepped(model, (x_) => tanhStep(x_, 'then'))
}

function constant(name: string, attributes: NonNullable<OnnxNode['attributes']>): OnnxNode {
  return { opType: 'Constant', inputs: [], outputs: [name], attributes }
}

/** x and y FP32 [N, 160]. */
function stepped(model: OnnxModel, answer: (x: Float32Array) => Float64Array): CheckedModel {
  return {
    model,
    inputs: (rng, batch) => [float32Tensor('x', [batch, WIDTH], rng.fillBell(new Float32Array(batch * WIDTH), 1))],
    expected: (inputs) => [
      float32Tensor('y', tensorNamed(inputs, 'x').shape, Float32Array.from(answer(float32Values(inputs, 'x')))),
    ],
  }
}
