/**
 * The families of models in small: layers, convolutions, attention, recurrence, half precision, each with operators that devices have
 * kernels of their own for. Small enough for a renderer in software, with weights large enough to become tensor files. No answers are
 * computed here: they are for holding one device against another.
 */
import { halfBits } from '../../../src/protocol/oip/half-float.ts'
import { GraphBuilder } from '../graph-builder.ts'
import { DATA_TYPE, modelOf, type OnnxAttribute, type OnnxModel, rawTensor } from '../onnx-model.ts'
import { Rng } from '../random.ts'
import { float32Tensor, int64Tensor, type NamedTensor } from '../tensor.ts'

export interface SmallFamily {
  readonly name: string
  readonly build: (customer: number) => OnnxModel
  readonly inputs: (rng: Rng, rows: number) => NamedTensor[]
}

const CLASSES = 8
const FEATURES = 64
const WIDTH = 256
const IMAGE = 16
const CHANNELS = [3, 8, 16] as const
const VOCABULARY = 512
const HIDDEN = 64
const STATE = 96

export const SMALL_FAMILIES: readonly SmallFamily[] = [
  { name: 'layers', build: layers, inputs: (rng, rows) => [bell('x', rng, [rows, FEATURES])] },
  { name: 'convolutions', build: convolutions, inputs: (rng, rows) => [bell('x', rng, [rows, 3, IMAGE, IMAGE])] },
  { name: 'attention', build: attention, inputs: (rng, rows) => [tokens(rng, rows, 6)] },
  { name: 'recurrence', build: recurrence, inputs: (rng, rows) => [bell('x', rng, [rows, 5, FEATURES])] },
]

/** FP16 in and out: only for devices that have it. */
export const HALF_FAMILY: SmallFamily = {
  name: 'halves',
  build: halves,
  inputs: (rng, rows) => [
    { name: 'x', datatype: 'FP16', shape: [rows, FEATURES], data: toHalves(values(rng, rows * FEATURES, 1)) },
  ],
}

/** x [N, 64] to y [N, 8]. */
function layers(customer: number): OnnxModel {
  const graph = new Weighted('layers', customer)
  const x = graph.input('x', DATA_TYPE.FLOAT, ['N', FEATURES])
  const hidden = graph.node('Relu', [
    graph.node('Gemm', [x, graph.random('w0', [FEATURES, WIDTH]), graph.random('b0', [WIDTH])]),
  ])
  graph.node('Gemm', [hidden, graph.random('w1', [WIDTH, CLASSES]), graph.random('b1', [CLASSES])], { outputs: ['y'] })
  return graph.answer('y', ['N', CLASSES])
}

/** x [N, 3, 16, 16] to y [N, 8]: what layouts other than channels-first change. */
function convolutions(customer: number): OnnxModel {
  const graph = new Weighted('convolutions', customer)
  let value = graph.input('x', DATA_TYPE.FLOAT, ['N', CHANNELS[0], IMAGE, IMAGE])
  for (const [i, channels] of CHANNELS.slice(1).entries()) {
    const weights = graph.random(`w${i}`, [channels, CHANNELS[i] ?? 0, 3, 3], 0.2)
    const convolved = graph.node('Conv', [value, weights, graph.random(`b${i}`, [channels])], {
      attributes: { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]) },
    })
    value = graph.node('MaxPool', [graph.node('Relu', [convolved])], {
      attributes: { kernel_shape: ints([2, 2]), strides: ints([2, 2]) },
    })
  }
  const pooled = graph.node('Flatten', [graph.node('GlobalAveragePool', [value])])
  graph.node('Gemm', [pooled, graph.random('head', [CHANNELS[2], CLASSES])], { outputs: ['y'] })
  return graph.answer('y', ['N', CLASSES])
}

/** ids INT64 [N, T] to y [N, 8]: embeddings, one head of attention, the mean over tokens. */
function attention(customer: number): OnnxModel {
  const graph = new Weighted('attention', customer)
  const ids = graph.input('ids', DATA_TYPE.INT64, ['N', 'T'])
  const embedded = graph.norm('norm0', graph.node('Gather', [graph.random('table', [VOCABULARY, HIDDEN], 1), ids]))
  const [query, key, value] = ['query', 'key', 'value'].map((name) =>
    graph.node('MatMul', [embedded, graph.random(name, [HIDDEN, HIDDEN])]),
  )
  const turned = graph.node('Transpose', [key ?? ''], { attributes: { perm: ints([0, 2, 1]) } })
  const scores = graph.node('Div', [graph.node('MatMul', [query ?? '', turned]), graph.scalar('scale', HIDDEN ** 0.5)])
  const weights = graph.node('Softmax', [scores], { attributes: { axis: int(-1) } })
  const mixed = graph.norm('norm1', graph.node('Add', [embedded, graph.node('MatMul', [weights, value ?? ''])]))
  const mean = graph.node('ReduceMean', [mixed], { attributes: { axes: ints([1]), keepdims: int(0) } })
  graph.node('Gemm', [mean, graph.random('head', [HIDDEN, CLASSES])], { outputs: ['y'] })
  return graph.answer('y', ['N', CLASSES])
}

/** x [N, T, 64] to y [N, 8]: an LSTM's last state. */
function recurrence(customer: number): OnnxModel {
  const graph = new Weighted('recurrence', customer)
  const x = graph.input('x', DATA_TYPE.FLOAT, ['N', 'T', FEATURES])
  const byTime = graph.node('Transpose', [x], { attributes: { perm: ints([1, 0, 2]) } })
  const parts = [
    graph.random('w', [1, 4 * STATE, FEATURES]),
    graph.random('r', [1, 4 * STATE, STATE]),
    graph.random('b', [1, 8 * STATE]),
  ]
  graph.node('LSTM', [byTime, ...parts], { attributes: { hidden_size: int(STATE) }, outputs: ['', 'last'] })
  const last = graph.node('Squeeze', ['last', graph.int64s('first', [0])])
  graph.node('Gemm', [last, graph.random('head', [STATE, CLASSES])], { outputs: ['y'] })
  return graph.answer('y', ['N', CLASSES])
}

/** x FP16 [N, 64] to y FP16 [N, 8]. */
function halves(customer: number): OnnxModel {
  const graph = new Weighted('halves', customer)
  const x = graph.input('x', DATA_TYPE.FLOAT16, ['N', FEATURES])
  const hidden = graph.node('Relu', [graph.node('MatMul', [x, graph.half('w0', [FEATURES, WIDTH])])])
  graph.node('MatMul', [hidden, graph.half('w1', [WIDTH, CLASSES])], { outputs: ['y'] })
  graph.output('y', DATA_TYPE.FLOAT16, ['N', CLASSES])
  return modelOf(graph.finish())
}

/** count INT64 [1] to y [1]: a tensor of so many FP32, made and summed on the device. For asking it for more memory than it has. */
export function growing(): OnnxModel {
  const graph = new GraphBuilder('growing')
  const count = graph.input('count', DATA_TYPE.INT64, [1])
  const grown = graph.node('Expand', [graph.weights('one', [1], Float32Array.of(1)), count])
  const doubled = graph.node('Add', [grown, grown])
  graph.node('ReduceMax', [doubled], { attributes: { axes: ints([0]), keepdims: int(1) }, outputs: ['y'] })
  graph.output('y', DATA_TYPE.FLOAT, [1])
  return modelOf(graph.finish())
}

/** A graph whose weights follow from the family and the customer. */
class Weighted extends GraphBuilder {
  readonly #seed: string

  constructor(name: string, customer: number) {
    super(name)
    this.#seed = `${name} ${customer}`
  }

  /** Scaled by what goes in, so that values stay of order one; `deviation` for tables that are looked up. */
  random(name: string, shape: readonly number[], deviation?: number): string {
    return this.weights(name, shape, this.#values(name, shape, deviation))
  }

  half(name: string, shape: readonly number[]): string {
    return this.initializer(rawTensor(name, DATA_TYPE.FLOAT16, shape, toHalves(this.#values(name, shape))))
  }

  norm(name: string, x: string): string {
    const gain = this.weights(`${name}.gain`, [HIDDEN], new Float32Array(HIDDEN).fill(1))
    return this.node('LayerNormalization', [x, gain, this.random(`${name}.bias`, [HIDDEN])], {
      attributes: { axis: int(-1) },
    })
  }

  answer(name: string, shape: readonly (number | string)[]): OnnxModel {
    this.output(name, DATA_TYPE.FLOAT, shape)
    return modelOf(this.finish())
  }

  #values(name: string, shape: readonly number[], deviation?: number): Float32Array {
    const count = shape.reduce((product, dim) => product * dim, 1)
    return values(new Rng(this.#seed, name), count, deviation ?? Math.sqrt((shape.at(-1) ?? 1) / count))
  }
}

function bell(name: string, rng: Rng, shape: readonly number[]): NamedTensor {
  const count = shape.reduce((product, dim) => product * dim, 1)
  return float32Tensor(name, shape, values(rng, count, 1))
}

function tokens(rng: Rng, rows: number, length: number): NamedTensor {
  const ids = BigInt64Array.from({ length: rows * length }, () => BigInt(rng.below(VOCABULARY)))
  return int64Tensor('ids', [rows, length], ids)
}

function values(rng: Rng, count: number, deviation: number): Float32Array {
  return rng.fillBell(new Float32Array(count), deviation)
}

function toHalves(numbers: Float32Array): Uint16Array {
  return Uint16Array.from(numbers, halfBits)
}

function ints(list: readonly number[]): OnnxAttribute {
  return { kind: 'ints', values: list }
}

function int(value: number): OnnxAttribute {
  return { kind: 'int', value }
}
