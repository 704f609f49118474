/**
 * M: the encoder in float32, 90 MB. Family `lora` adds x @ W + (x @ A) @ B to every query and value projection, with A and B as
 * initializers of their own, 300 KB per customer.
 */
import type { EncoderOperators } from './encoder-graph.ts'
import { encoderModel } from './encoder-graph.ts'
import { encoderInputs } from './encoder-inputs.ts'
import type { ReferenceOperators } from './encoder-reference.ts'
import { encoderAnswers } from './encoder-reference.ts'
import type { LinearSpec } from './encoder-weights.ts'
import { encoderSpec, HIDDEN, LORA_RANK } from './encoder-weights.ts'
import type { GraphBuilder } from './graph-builder.ts'
import type { ModelClass, Recipe } from './model-class.ts'
import { assertFamily } from './model-class.ts'
import type { OnnxModel } from './onnx-model.ts'
import type { Rng } from './random.ts'
import { add, matMul } from './reference-math.ts'
import type { NamedTensor } from './tensor.ts'
import type { WeightSpec } from './weights.ts'
import { WeightSource } from './weights.ts'

export class FloatEncoder implements ModelClass {
  readonly name = 'M'
  readonly families = ['full', 'head', 'lora'] as const
  readonly tolerance = 1e-3
  readonly isBatchSafe = true
  readonly #spec = encoderSpec()
  readonly #source = new WeightSource('M')
  readonly #sampleTokens: number

  constructor(sampleTokens = 16) {
    this.#sampleTokens = sampleTokens
  }

  build(recipe: Recipe): OnnxModel {
    assertFamily(this, recipe.family)
    const values = (spec: WeightSpec): Float32Array => this.#source.values(recipe, spec)
    const operators: EncoderOperators = {
      values,
      embed: (graph, spec, ids) => graph.node('Gather', [graph.weights(spec.name, spec.shape, values(spec)), ids]),
      linear: (graph, spec, x) => linear(graph, spec, x, values, recipe.family === 'lora'),
    }
    return encoderModel(this.#spec, operators)
  }

  sampleInputs(rng: Rng, batch: number): NamedTensor[] {
    return encoderInputs(rng, batch, this.#sampleTokens)
  }

  expected(recipe: Recipe, inputs: readonly NamedTensor[]): NamedTensor[] {
    assertFamily(this, recipe.family)
    const values = (spec: WeightSpec): Float32Array => this.#source.values(recipe, spec)
    const operators: ReferenceOperators = {
      values,
      embed: (spec, ids) => {
        const table = values(spec)
        const out = new Float64Array(ids.length * HIDDEN)
        for (const [row, id] of ids.entries()) out.set(table.subarray(id * HIDDEN, (id + 1) * HIDDEN), row * HIDDEN)
        return out
      },
      linear: ({ weight, bias, inputs: inner, outputs, lora }, x) => {
        const base = matMul(x, values(weight), inner, outputs, values(bias))
        if (lora === undefined || recipe.family !== 'lora') return base
        return add(base, matMul(matMul(x, values(lora.a), inner, LORA_RANK), values(lora.b), LORA_RANK, outputs))
      },
    }
    return encoderAnswers(this.#spec, operators, inputs)
  }
}

function linear(
  graph: GraphBuilder,
  { weight, bias, lora }: LinearSpec,
  x: string,
  values: (spec: WeightSpec) => Float32Array,
  hasLora: boolean,
): string {
  const tensor = (spec: WeightSpec): string => graph.weights(spec.name, spec.shape, values(spec))
  let product = graph.node('MatMul', [x, tensor(weight)])
  if (lora !== undefined && hasLora) {
    const low = graph.node('MatMul', [x, tensor(lora.a)])
    product = graph.node('Add', [product, graph.node('MatMul', [low, tensor(lora.b)])])
  }
  return graph.node('Add', [product, tensor(bias)])
}
