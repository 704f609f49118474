/** One-node models that show a single trait of the engine; written to a temporary folder that the test removes. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GraphBuilder } from '../../loadtest/models/graph-builder.ts'
import { modelBytes } from '../../loadtest/models/index.ts'
import type { Dim, OnnxModel } from '../../loadtest/models/onnx-model.ts'
import { DATA_TYPE, modelOf, rawTensor } from '../../loadtest/models/onnx-model.ts'
import type { Datatype } from '../../src/domain/tensor-types.ts'
import { DATATYPES } from '../../src/domain/tensor-types.ts'

/** `y = x`, of any type and shape. */
export function identityModel(datatype: Datatype, dims: readonly Dim[] = ['N', 'M']): OnnxModel {
  const graph = new GraphBuilder('identity')
  graph.input('x', DATATYPES[datatype].onnx, dims)
  graph.node('Identity', ['x'], { outputs: ['y'] })
  graph.output('y', DATATYPES[datatype].onnx, dims)
  return modelOf(graph.finish())
}

/** `y[i] = [10, 11, 12][x[i]]`: an index outside 0..2 (or -3..-1) is refused by the kernel while it runs. */
export function gatherModel(): OnnxModel {
  const graph = new GraphBuilder('gather')
  graph.input('x', DATA_TYPE.INT64, ['N'])
  graph.node('Gather', [graph.weights('table', [3], Float32Array.of(10, 11, 12)), 'x'], { outputs: ['y'] })
  graph.output('y', DATA_TYPE.FLOAT, ['N'])
  return modelOf(graph.finish())
}

/** Two outputs of two inputs that share the dimension `N`: `sum = a + b`, `total` = the sum over everything, which ties rows together. */
export function addModel(): OnnxModel {
  const graph = new GraphBuilder('add')
  graph.input('a', DATA_TYPE.FLOAT, ['N', 2])
  graph.input('b', DATA_TYPE.FLOAT, ['N', 2])
  graph.node('Add', ['a', 'b'], { outputs: ['sum'] })
  graph.node('ReduceSum', ['sum'], { outputs: ['total'], attributes: { keepdims: { kind: 'int', value: 0 } } })
  graph.output('sum', DATA_TYPE.FLOAT, ['N', 2])
  graph.output('total', DATA_TYPE.FLOAT, [])
  return modelOf(graph.finish())
}

/** `sum` = the sum of as many ones as `size` INT64 [1] says: 4 bytes of memory for each while it runs. */
export function hungryModel(): OnnxModel {
  const graph = new GraphBuilder('hungry')
  graph.input('size', DATA_TYPE.INT64, [1])
  const value = rawTensor('value', DATA_TYPE.FLOAT, [1], new Uint8Array(Float32Array.of(1).buffer))
  const ones = graph.node('ConstantOfShape', ['size'], { attributes: { value: { kind: 'tensor', value } } })
  graph.node('ReduceSum', [ones], { outputs: ['sum'], attributes: { keepdims: { kind: 'int', value: 0 } } })
  graph.output('sum', DATA_TYPE.FLOAT, [])
  return modelOf(graph.finish())
}

export interface ModelFolder extends AsyncDisposable {
  readonly dir: string
  /** Writes a model as `<name>.onnx`; gives its absolute path. */
  write(name: string, model: OnnxModel | Uint8Array): Promise<string>
}

export async function modelFolder(): Promise<ModelFolder> {
  const dir = await mkdtemp(join(tmpdir(), 'modelmux-models-'))
  return {
    dir,
    async write(name, model) {
      const file = join(dir, `${name}.onnx`)
      await writeFile(file, model instanceof Uint8Array ? model : modelBytes(model))
      return file
    },
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  }
}
