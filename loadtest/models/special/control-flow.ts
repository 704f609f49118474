/**
 * Models whose big weights sit inside bodies: If, Loop, Scan. Bodies use the same initializer name on purpose, which ONNX allows and
 * ONNX Runtime's own save does not survive.
 */
import { GraphBuilder } from '../graph-builder.ts'
import { DATA_TYPE, modelOf, type OnnxAttribute, type OnnxGraph } from '../onnx-model.ts'
import { float32Tensor, float32Values, int64Tensor, int64Values, tensorNamed } from '../tensor.ts'
import { matrixTensor, rowOf, tanhStep, WIDTH } from './affine.ts'
import type { CheckedModel } from './checked-model.ts'

/** y = tanh(x W) with W of the branch that `positive` BOOL [1] chooses; x and y FP32 [N, 160]. */
export function branches(): CheckedModel {
  const graph = new GraphBuilder('branches')
  const positive = graph.input('positive', DATA_TYPE.BOOL, [1])
  graph.input('x', DATA_TYPE.FLOAT, ['N', WIDTH])
  graph.node('If', [positive], {
    attributes: {
      then_branch: { kind: 'graph', value: stepBody('then_body', 'then') },
      else_branch: { kind: 'graph', value: stepBody('else_body', 'else') },
    },
    outputs: ['y'],
  })
  graph.output('y', DATA_TYPE.FLOAT, ['N', WIDTH])
  return {
    model: modelOf(graph.finish()),
    inputs: (rng, batch) => [
      { name: 'positive', datatype: 'BOOL', shape: [1], data: Uint8Array.of(rng.below(2)) },
      float32Tensor('x', [batch, WIDTH], rng.fillBell(new Float32Array(batch * WIDTH), 1)),
    ],
    expected: (inputs) => {
      const label = tensorNamed(inputs, 'positive').data[0] === 1 ? 'then' : 'else'
      const y = Float32Array.from(tanhStep(float32Values(inputs, 'x'), label))
      return [float32Tensor('y', tensorNamed(inputs, 'x').shape, y)]
    },
  }
}

/** y = x after `times` INT64 [1] steps of x = tanh(x W), W inside the Loop's body; x and y FP32 [N, 160]. */
export function repeated(): CheckedModel {
  const graph = new GraphBuilder('repeated')
  const times = graph.input('times', DATA_TYPE.INT64, [1])
  const x = graph.input('x', DATA_TYPE.FLOAT, ['N', WIDTH])
  graph.node('Loop', [times, '', x], {
    attributes: { body: { kind: 'graph', value: loopBody() } },
    outputs: ['y'],
  })
  graph.output('y', DATA_TYPE.FLOAT, ['N', WIDTH])
  return {
    model: modelOf(graph.finish()),
    inputs: (rng, batch) => [
      int64Tensor('times', [1], BigInt64Array.of(BigInt(1 + rng.below(4)))),
      float32Tensor('x', [batch, WIDTH], rng.fillBell(new Float32Array(batch * WIDTH), 1)),
    ],
    expected: (inputs) => {
      let x_: Float64Array = Float64Array.from(float32Values(inputs, 'x'))
      const steps = Number(int64Values(inputs, 'times')[0])
      for (let step = 0; step < steps; step += 1) x_ = tanhStep(x_, 'loop')
      return [float32Tensor('y', tensorNamed(inputs, 'x').shape, Float32Array.from(x_))]
    },
  }
}

/** A recurrent cell by Scan over time: state = tanh((state + x[t]) W) from zeros; x FP32 [T, 160], the last state y FP32 [160]. */
export function scanned(): CheckedModel {
  const graph = new GraphBuilder('scanned')
  const x = graph.input('x', DATA_TYPE.FLOAT, ['T', WIDTH])
  const zeros = graph.weights('zeros', [WIDTH], new Float32Array(WIDTH))
  graph.node('Scan', [zeros, x], {
    attributes: { body: { kind: 'graph', value: scanBody() }, num_scan_inputs: { kind: 'int', value: 1 } },
    outputs: ['y'],
  })
  graph.output('y', DATA_TYPE.FLOAT, [WIDTH])
  return {
    model: modelOf(graph.finish()),
    inputs: (rng, batch) => [float32Tensor('x', [batch, WIDTH], rng.fillBell(new Float32Array(batch * WIDTH), 1))],
    expected: (inputs) => {
      const steps = float32Values(inputs, 'x')
      let state: Float64Array = new Float64Array(WIDTH)
      for (let step = 0; step * WIDTH < steps.length; step += 1) {
        const arriving = rowOf(steps, step)
        state = tanhStep(
          state.map((value, i) => value + (arriving[i] ?? 0)),
          'scan',
        )
      }
      return [float32Tensor('y', [WIDTH], Float32Array.from(state))]
    },
  }
}

/** y = x through `depth` nested If bodies, both FP32 [N, 4]; `positive` BOOL [1] must be true. Parsers give up somewhere past 30. */
export function nested(depth: number): CheckedModel {
  const graph = new GraphBuilder('nested')
  graph.input('positive', DATA_TYPE.BOOL, [1])
  graph.input('x', DATA_TYPE.FLOAT, ['N', 4])
  graph.node('If', ['positive'], { attributes: nestedBranches(depth), outputs: ['y'] })
  graph.output('y', DATA_TYPE.FLOAT, ['N', 4])
  return {
    model: modelOf(graph.finish()),
    inputs: (rng, batch) => [
      { name: 'positive', datatype: 'BOOL', shape: [1], data: Uint8Array.of(1) },
      float32Tensor('x', [batch, 4], rng.fillBell(new Float32Array(batch * 4), 1)),
    ],
    expected: (inputs) => [{ ...tensorNamed(inputs, 'x'), name: 'y' }],
  }
}

/** A branch that answers tanh(x W), x from the graph around it and W its own initializer. */
export function stepBody(name: string, label: string): OnnxGraph {
  const body = new GraphBuilder(name)
  const product = body.node('MatMul', ['x', body.initializer(matrixTensor('body_weights', label))])
  const y = body.node('Tanh', [product])
  body.output(y, DATA_TYPE.FLOAT, ['N', WIDTH])
  return body.finish()
}

function loopBody(): OnnxGraph {
  const body = new GraphBuilder('loop_body')
  body.input('iteration', DATA_TYPE.INT64, [])
  const goOn = body.input('go_on', DATA_TYPE.BOOL, [])
  const state = body.input('state', DATA_TYPE.FLOAT, ['N', WIDTH])
  body.output(body.node('Identity', [goOn]), DATA_TYPE.BOOL, [])
  const product = body.node('MatMul', [state, body.initializer(matrixTensor('body_weights', 'loop'))])
  body.output(body.node('Tanh', [product]), DATA_TYPE.FLOAT, ['N', WIDTH])
  return body.finish()
}

function scanBody(): OnnxGraph {
  const body = new GraphBuilder('scan_body')
  const state = body.input('state', DATA_TYPE.FLOAT, [WIDTH])
  const arriving = body.input('arriving', DATA_TYPE.FLOAT, [WIDTH])
  const sum = body.node('Add', [state, arriving])
  const product = body.node('MatMul', [sum, body.initializer(matrixTensor('body_weights', 'scan'))])
  body.output(body.node('Tanh', [product]), DATA_TYPE.FLOAT, [WIDTH])
  return body.finish()
}

function nestedBranches(depth: number): Readonly<Record<string, OnnxAttribute>> {
  const inner = new GraphBuilder(`then_${depth}`)
  const value =
    depth <= 1
      ? inner.node('Identity', ['x'])
      : inner.node('If', ['positive'], { attributes: nestedBranches(depth - 1) })
  inner.output(value, DATA_TYPE.FLOAT, ['N', 4])
  const other = new GraphBuilder(`else_${depth}`)
  other.output(other.node('Neg', ['x']), DATA_TYPE.FLOAT, ['N', 4])
  return {
    then_branch: { kind: 'graph', value: inner.finish() },
    else_branch: { kind: 'graph', value: other.finish() },
  }
}
