/**
 * Multilayer perceptrons: Gemm and Relu, features [N, widths[0]] in, scores [N, widths.at(-1)] out.
 * The last layer is the head. Weights are scaled by He's rule, so that scores are of order one at any depth.
 */
import { GraphBuilder } from './graph-builder.ts'
import type { ClassName, ModelClass, Recipe } from './model-class.ts'
import { assertFamily } from './model-class.ts'
import type { OnnxModel } from './onnx-model.ts'
import { DATA_TYPE, modelOf } from './onnx-model.ts'
import type { Rng } from './random.ts'
import type { Numbers } from './reference-math.ts'
import { matMul, relu } from './reference-math.ts'
import type { NamedTensor } from './tensor.ts'
import { float32Tensor, float32Values } from './tensor.ts'
import type { WeightSpec } from './weights.ts'
import { WeightSource } from './weights.ts'

interface Layer {
  readonly weights: WeightSpec
  readonly bias: WeightSpec
  readonly inputs: number
  readonly outputs: number
  readonly isLast: boolean
}

export class Mlp implements ModelClass {
  readonly name: ClassName
  readonly families = ['full', 'head'] as const
  readonly tolerance = 1e-3
  readonly isBatchSafe = true
  readonly #layers: readonly Layer[]
  readonly #source: WeightSource

  /** `widths`: features, hidden layers, scores; at least two. */
  constructor(name: ClassName, widths: readonly number[]) {
    this.name = name
    this.#layers = layersOf(widths)
    this.#source = new WeightSource(name)
  }

  build(recipe: Recipe): OnnxModel {
    assertFamily(this, recipe.family)
    const graph = new GraphBuilder('mlp')
    let value = graph.input('features', DATA_TYPE.FLOAT, ['N', this.#inputWidth])
    for (const { weights, bias, isLast } of this.#layers) {
      const w = graph.weights(weights.name, weights.shape, this.#source.values(recipe, weights))
      const b = graph.weights(bias.name, bias.shape, this.#source.values(recipe, bias))
      if (isLast) graph.node('Gemm', [value, w, b], { outputs: ['scores'] })
      else value = graph.node('Relu', [graph.node('Gemm', [value, w, b])])
    }
    graph.output('scores', DATA_TYPE.FLOAT, ['N', this.#outputWidth])
    return modelOf(graph.finish())
  }

  sampleInputs(rng: Rng, batch: number): NamedTensor[] {
    const data = rng.fillBell(new Float32Array(batch * this.#inputWidth), 1)
    return [float32Tensor('features', [batch, this.#inputWidth], data)]
  }

  expected(recipe: Recipe, inputs: readonly NamedTensor[]): NamedTensor[] {
    assertFamily(this, recipe.family)
    let x: Numbers = float32Values(inputs, 'features')
    const batch = x.length / this.#inputWidth
    for (const { weights, bias, inputs: inner, outputs, isLast } of this.#layers) {
      const y = matMul(x, this.#source.values(recipe, weights), inner, outputs, this.#source.values(recipe, bias))
      x = isLast ? y : relu(y)
    }
    return [float32Tensor('scores', [batch, this.#outputWidth], Float32Array.from(x))]
  }

  get #inputWidth(): number {
    return this.#layers[0]?.inputs ?? 0
  }

  get #outputWidth(): number {
    return this.#layers.at(-1)?.outputs ?? 0
  }
}

function layersOf(widths: readonly number[]): Layer[] {
  return widths.slice(1).map((outputs, i) => {
    const inputs = widths[i] ?? 0
    const isLast = i === widths.length - 2
    const share = isLast ? 'own' : 'backbone'
    return {
      weights: { name: `layer${i}.weight`, shape: [inputs, outputs], share, deviation: Math.sqrt(2 / inputs) },
      bias: { name: `layer${i}.bias`, shape: [outputs], share, deviation: 0.1 },
      inputs,
      outputs,
      isLast,
    }
  })
}
