/**
 * Models with weights in other files: honest ones, to be written with a sidecar, and ones that reach where they must not.
 * The bytes of a dishonest reference are never needed: it has to be refused before it is followed.
 */
import { GraphBuilder } from '../graph-builder.ts'
import { DATA_TYPE, modelOf, type OnnxModel, type OnnxTensor } from '../onnx-model.ts'
import type { ExternalOptions } from '../onnx-writer.ts'
import { float32Tensor, float32Values, tensorNamed } from '../tensor.ts'
import { matrixTensor, tanhStep, WIDTH } from './affine.ts'
import type { CheckedModel } from './checked-model.ts'

/** Sidecars as tools name them: beside the model, in a folder of their own, and as MLflow's ONNX flavour has them. */
export const SIDECARS: readonly ExternalOptions[] = [
  { file: 'model.onnx.data', minBytes: 1024 },
  { file: 'weights/tensors.bin', minBytes: 1024 },
  { file: '0f8fad5b-d9cb-469f-a165-70867728950e.data', minBytes: 1024 },
]

/** Locations that leave the model's folder, or stand for an address in the reader's own memory. */
export const ESCAPING_LOCATIONS: readonly string[] = [
  '../outside.bin',
  'weights/../../outside.bin',
  '/etc/hostname',
  '*/_ORT_MEM_ADDR_/*',
]

/** y = tanh(x W), W an initializer of 100 KB that a sidecar takes; x and y FP32 [N, 160]. */
export function sidecar(): CheckedModel {
  return {
    model: modelWith(matrixTensor('w', 'sidecar')),
    inputs: (rng, batch) => [float32Tensor('x', [batch, WIDTH], rng.fillBell(new Float32Array(batch * WIDTH), 1))],
    expected: (inputs) => {
      const y = Float32Array.from(tanhStep(float32Values(inputs, 'x'), 'sidecar'))
      return [float32Tensor('y', tensorNamed(inputs, 'x').shape, y)]
    },
  }
}

/** Where in a model a reference to another file can hide. */
export type ReferencePlace = 'initializer' | 'constant' | 'branch'

/** The sidecar model with W at `location`, whatever that is, and the other `external_data` entries as given. */
export function externalAt(
  location: string,
  place: ReferencePlace = 'initializer',
  entries: Readonly<Record<string, string>> = { offset: '0', length: `${4 * WIDTH * WIDTH}` },
): OnnxModel {
  const tensor: OnnxTensor = {
    name: 'w',
    dataType: DATA_TYPE.FLOAT,
    dims: [WIDTH, WIDTH],
    data: { kind: 'external', entries: { location, ...entries } },
  }
  return modelWith(tensor, place)
}

function modelWith(tensor: OnnxTensor, place: ReferencePlace = 'initializer'): OnnxModel {
  const graph = new GraphBuilder('external')
  const x = graph.input('x', DATA_TYPE.FLOAT, ['N', WIDTH])
  if (place === 'branch') {
    const condition = graph.node('Greater', [graph.node('Size', [x]), graph.int64s('none', [0])])
    const attributes = {
      then_branch: { kind: 'graph', value: branch('then_body', tensor) },
      else_branch: { kind: 'graph', value: branch('else_body', tensor) },
    } as const
    graph.node('If', [condition], { attributes, outputs: ['y'] })
  } else {
    const w =
      place === 'initializer'
        ? graph.initializer(tensor)
        : graph.node('Constant', [], { attributes: { value: { kind: 'tensor', value: tensor } } })
    graph.node('Tanh', [graph.node('MatMul', [x, w])], { outputs: ['y'] })
  }
  graph.output('y', DATA_TYPE.FLOAT, ['N', WIDTH])
  return modelOf(graph.finish())
}

function branch(name: string, tensor: OnnxTensor) {
  const body = new GraphBuilder(name)
  const y = body.node('Tanh', [body.node('MatMul', ['x', body.initializer(tensor)])])
  body.output(y, DATA_TYPE.FLOAT, ['N', WIDTH])
  return body.finish()
}
