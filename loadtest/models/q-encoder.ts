/**
 * Q: the encoder in int8, 23 MB, as ONNX Runtime's dynamic quantisation writes it: weights and token table int8 with one scale per
 * tensor, activations quantised to uint8 as they come. The range of a whole activation tensor sets its scale, so the rows of a batch
 * are not independent.
 */
import type { EncoderOperators } from './encoder-graph.ts'
import { encoderModel } from './encoder-graph.ts'
import { encoderInputs } from './encoder-inputs.ts'
import type { ReferenceOperators } from './encoder-reference.ts'
import { encoderAnswers } from './encoder-reference.ts'
import { encoderSpec, HIDDEN } from './encoder-weights.ts'
import type { GraphBuilder } from './graph-builder.ts'
import type { QuantisedWeights } from './int8.ts'
import { dequantised, dynamicMatMul, quantiseWeights } from './int8.ts'
import type { ModelClass, Recipe } from './model-class.ts'
import { assertFamily } from './model-class.ts'
import type { OnnxModel } from './onnx-model.ts'
import { DATA_TYPE, rawTensor } from './onnx-model.ts'
import type { Rng } from './random.ts'
import { at } from './reference-math.ts'
import { SharedCache } from './shared-cache.ts'
import type { NamedTensor } from './tensor.ts'
import type { WeightSpec } from './weights.ts'
import { isShared, WeightSource } from './weights.ts'

export class Int8Encoder implements ModelClass {
  readonly name = 'Q'
  readonly families = ['full', 'head'] as const
  /** A value on the edge between two quantisation steps may fall either way, in the engine and here. */
  readonly tolerance = 0.1
  readonly isBatchSafe = false
  readonly #spec = encoderSpec()
  readonly #source = new WeightSource('Q')
  readonly #shared = new SharedCache<QuantisedWeights>()
  readonly #sampleTokens: number

  constructor(sampleTokens = 16) {
    this.#sampleTokens = sampleTokens
  }

  build(recipe: Recipe): OnnxModel {
    assertFamily(this, recipe.family)
    const quantisedInputs = new Map<string, readonly [string, string, string]>()
    const operators: EncoderOperators = {
      values: (spec) => this.#source.values(recipe, spec),
      embed: (graph, spec, ids) => {
        const [table, scale, zero] = this.#int8(graph, recipe, spec)
        return graph.node('DequantizeLinear', [graph.node('Gather', [table, ids]), scale, zero])
      },
      linear: (graph, { weight, bias }, x) => {
        const [w, wScale, wZero] = this.#int8(graph, recipe, weight)
        const [xInt8, xScale, xZero] = dynamicallyQuantised(graph, x, quantisedInputs)
        const product = graph.node('MatMulInteger', [xInt8, w, xZero, wZero])
        const cast = graph.node('Cast', [product], { attributes: { to: { kind: 'int', value: DATA_TYPE.FLOAT } } })
        const scaled = graph.node('Mul', [cast, graph.node('Mul', [xScale, wScale])])
        return graph.node('Add', [scaled, graph.weights(bias.name, bias.shape, this.#source.values(recipe, bias))])
      },
    }
    return encoderModel(this.#spec, operators)
  }

  sampleInputs(rng: Rng, batch: number): NamedTensor[] {
    return encoderInputs(rng, batch, this.#sampleTokens)
  }

  expected(recipe: Recipe, inputs: readonly NamedTensor[]): NamedTensor[] {
    assertFamily(this, recipe.family)
    const operators: ReferenceOperators = {
      values: (spec) => this.#source.values(recipe, spec),
      embed: (spec, ids) => {
        const table = this.#quantised(recipe, spec)
        return Float64Array.from({ length: ids.length * HIDDEN }, (_, i) => {
          return dequantised(table, (ids[Math.floor(i / HIDDEN)] ?? 0) * HIDDEN + (i % HIDDEN))
        })
      },
      linear: ({ weight, bias, inputs: inner, outputs }, x) => {
        const biases = this.#source.values(recipe, bias)
        const product = dynamicMatMul(x, this.#quantised(recipe, weight), inner, outputs)
        return product.map((value, i) => value + at(biases, i % outputs))
      },
    }
    return encoderAnswers(this.#spec, operators, inputs)
  }

  /** Adds the tensor in int8 and gives the names of its values, scale and zero point. */
  #int8(graph: GraphBuilder, recipe: Recipe, spec: WeightSpec): [string, string, string] {
    const { values, scale } = this.#quantised(recipe, spec)
    return [
      graph.initializer(rawTensor(`${spec.name}.int8`, DATA_TYPE.INT8, spec.shape, values)),
      graph.scalar(`${spec.name}.scale`, scale),
      graph.initializer(rawTensor(`${spec.name}.zero`, DATA_TYPE.INT8, [], Int8Array.of(0))),
    ]
  }

  #quantised(recipe: Recipe, spec: WeightSpec): QuantisedWeights {
    const make = (): QuantisedWeights => quantiseWeights(this.#source.values(recipe, spec))
    return isShared(recipe.family, spec.share) ? this.#shared.get(recipe.seed, spec.name, make) : make()
  }
}

/** Query, key and value read the same tensor: it is quantised once. */
function dynamicallyQuantised(
  graph: GraphBuilder,
  x: string,
  done: Map<string, readonly [string, string, string]>,
): readonly [string, string, string] {
  const found = done.get(x)
  if (found !== undefined) return found
  const outputs = [`${x}/int8`, `${x}/scale`, `${x}/zero`] as const
  graph.node('DynamicQuantizeLinear', [x], { outputs })
  done.set(x, outputs)
  return outputs
}
