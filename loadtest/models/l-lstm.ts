/**
 * L: two LSTM layers, 2.5 million weights, 10 MB. sequence [N, T, 64] in, forecast [N, 4] out, from the last step's hidden state.
 * ONNX keeps the gates in the order input, output, forget, cell, and time before batch.
 */
import { GraphBuilder } from './graph-builder.ts'
import { assertFamily, type ModelClass, type Recipe } from './model-class.ts'
import { DATA_TYPE, modelOf, type OnnxModel } from './onnx-model.ts'
import type { Rng } from './random.ts'
import { at, matMul, type Numbers, sigmoid } from './reference-math.ts'
import { float32Tensor, float32Values, type NamedTensor, tensorNamed } from './tensor.ts'
import { WeightSource, type WeightSpec } from './weights.ts'

const FEATURES = 64
const HIDDEN = 448
const GATES = 4
const HORIZON = 4

interface LstmSpec {
  readonly inputs: number
  /** W [1, 4 * hidden, inputs]. */
  readonly weight: WeightSpec
  /** R [1, 4 * hidden, hidden]. */
  readonly recurrence: WeightSpec
  /** B [1, 8 * hidden]: of W, then of R. */
  readonly bias: WeightSpec
}

export class Lstm implements ModelClass {
  readonly name = 'L'
  readonly families = ['full', 'head'] as const
  readonly tolerance = 1e-3
  readonly isBatchSafe = true
  readonly #layers = [lstmSpec('lstm0', FEATURES), lstmSpec('lstm1', HIDDEN)] as const
  readonly #out: WeightSpec = { name: 'out.weight', shape: [HIDDEN, HORIZON], share: 'own', deviation: 0.2 }
  readonly #outBias: WeightSpec = { name: 'out.bias', shape: [HORIZON], share: 'own', deviation: 0.1 }
  readonly #source = new WeightSource('L')
  readonly #sampleSteps: number

  constructor(sampleSteps = 24) {
    this.#sampleSteps = sampleSteps
  }

  build(recipe: Recipe): OnnxModel {
    assertFamily(this, recipe.family)
    const graph = new GraphBuilder('lstm')
    const tensor = (spec: WeightSpec): string => graph.weights(spec.name, spec.shape, this.#source.values(recipe, spec))
    const input = graph.input('sequence', DATA_TYPE.FLOAT, ['N', 'T', FEATURES])
    const byTime = graph.node('Transpose', [input], { attributes: { perm: { kind: 'ints', values: [1, 0, 2] } } })
    const attributes = { hidden_size: { kind: 'int', value: HIDDEN } } as const
    const [first, second] = this.#layers
    const weightsOf = (spec: LstmSpec): string[] => [spec.weight, spec.recurrence, spec.bias].map(tensor)

    const states = graph.node('LSTM', [byTime, ...weightsOf(first)], { attributes, outputs: ['states'] })
    const squeezed = graph.node('Squeeze', [states, graph.int64s('axis_direction', [1])])
    graph.node('LSTM', [squeezed, ...weightsOf(second)], { attributes, outputs: ['', 'last'] })
    const last = graph.node('Squeeze', ['last', graph.int64s('axis_first', [0])])
    graph.node('Gemm', [last, tensor(this.#out), tensor(this.#outBias)], { outputs: ['forecast'] })
    graph.output('forecast', DATA_TYPE.FLOAT, ['N', HORIZON])
    return modelOf(graph.finish())
  }

  sampleInputs(rng: Rng, batch: number): NamedTensor[] {
    const shape = [batch, this.#sampleSteps, FEATURES]
    return [float32Tensor('sequence', shape, rng.fillBell(new Float32Array(batch * this.#sampleSteps * FEATURES), 1))]
  }

  expected(recipe: Recipe, inputs: readonly NamedTensor[]): NamedTensor[] {
    assertFamily(this, recipe.family)
    const sequence = float32Values(inputs, 'sequence')
    const [batch = 1, steps = 1] = tensorNamed(inputs, 'sequence').shape
    const forecast = new Float32Array(batch * HORIZON)
    for (let row = 0; row < batch; row += 1) {
      let states: Numbers = sequence.subarray(row * steps * FEATURES, (row + 1) * steps * FEATURES)
      for (const layer of this.#layers) states = this.#run(recipe, layer, states, steps)
      const last = states.subarray((steps - 1) * HIDDEN)
      const out = matMul(last, this.#source.values(recipe, this.#out), HIDDEN, HORIZON)
      const bias = this.#source.values(recipe, this.#outBias)
      forecast.set(
        out.map((value, i) => value + at(bias, i)),
        row * HORIZON,
      )
    }
    return [float32Tensor('forecast', [batch, HORIZON], forecast)]
  }

  /** One layer over one sequence: x [steps, inputs] to hidden states [steps, hidden]. */
  #run(recipe: Recipe, spec: LstmSpec, x: Numbers, steps: number): Float64Array {
    const weight = this.#source.values(recipe, spec.weight)
    const recurrence = this.#source.values(recipe, spec.recurrence)
    const bias = this.#source.values(recipe, spec.bias)
    const states = new Float64Array(steps * HIDDEN)
    let hidden = new Float64Array(HIDDEN)
    const cell = new Float64Array(HIDDEN)
    for (let step = 0; step < steps; step += 1) {
      const input = x.subarray(step * spec.inputs, (step + 1) * spec.inputs)
      const gate = (index: number): number =>
        rowDot(weight, index, input) +
        rowDot(recurrence, index, hidden) +
        at(bias, index) +
        at(bias, GATES * HIDDEN + index)
      const next = new Float64Array(HIDDEN)
      for (let unit = 0; unit < HIDDEN; unit += 1) {
        const enter = sigmoid(gate(unit))
        const leave = sigmoid(gate(HIDDEN + unit))
        const forget = sigmoid(gate(2 * HIDDEN + unit))
        cell[unit] = forget * at(cell, unit) + enter * Math.tanh(gate(3 * HIDDEN + unit))
        next[unit] = leave * Math.tanh(at(cell, unit))
      }
      hidden = next
      states.set(hidden, step * HIDDEN)
    }
    return states
  }
}

function lstmSpec(name: string, inputs: number): LstmSpec {
  const deviation = 1 / Math.sqrt(inputs + HIDDEN)
  return {
    inputs,
    weight: { name: `${name}.w`, shape: [1, GATES * HIDDEN, inputs], share: 'backbone', deviation: 1.5 * deviation },
    recurrence: { name: `${name}.r`, shape: [1, GATES * HIDDEN, HIDDEN], share: 'backbone', deviation },
    bias: { name: `${name}.b`, shape: [1, 2 * GATES * HIDDEN], share: 'backbone', deviation: 0.1 },
  }
}

function rowDot(matrix: Numbers, row: number, x: Numbers): number {
  let sum = 0
  for (let i = 0, from = row * x.length; i < x.length; i += 1, from += 1) sum += at(matrix, from) * at(x, i)
  return sum
}
