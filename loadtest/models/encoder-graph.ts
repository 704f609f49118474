/**
 * The encoder's graph as exporters write it: separate query, key and value products, the Gaussian unit spelled out with Erf, so that
 * the engine's optimiser has its usual fusions to find. input_ids and attention_mask [N, T] int64 in, logits [N, labels] out.
 */
import type { EncoderSpec, LayerSpec, LinearSpec, NormSpec } from './encoder-weights.ts'
import { HEAD_WIDTH, HEADS, HIDDEN, LABELS, MASKED_SCORE, NORM_EPSILON } from './encoder-weights.ts'
import { GraphBuilder } from './graph-builder.ts'
import type { OnnxModel } from './onnx-model.ts'
import { DATA_TYPE, modelOf } from './onnx-model.ts'
import type { WeightSpec } from './weights.ts'

/** What differs between the float and the int8 encoder. Each adds nodes to `graph` and gives the name of its result. */
export interface EncoderOperators {
  /** Rows of the token table: ids [N, T] to float32 [N, T, hidden]. */
  embed(graph: GraphBuilder, spec: WeightSpec, ids: string): string
  /** x [N, T, inputs] to [N, T, outputs], bias included. */
  linear(graph: GraphBuilder, spec: LinearSpec, x: string): string
  /** A float32 tensor's values. */
  values(spec: WeightSpec): Float32Array
}

export function encoderModel(spec: EncoderSpec, operators: EncoderOperators): OnnxModel {
  const graph = new GraphBuilder('encoder')
  const ids = graph.input('input_ids', DATA_TYPE.INT64, ['N', 'T'])
  const mask = graph.input('attention_mask', DATA_TYPE.INT64, ['N', 'T'])
  const blocks = new EncoderBlocks(graph, operators)

  const keep = graph.node('Cast', [mask], { attributes: { to: { kind: 'int', value: DATA_TYPE.FLOAT } } })
  let x = blocks.embeddings(spec, ids)
  const bias = blocks.maskBias(keep)
  for (const layer of spec.layers) x = blocks.layer(layer, x, bias)
  const pooled = blocks.meanOverTokens(x, keep)
  graph.node('Gemm', [pooled, blocks.tensor(spec.classifier.weight), blocks.tensor(spec.classifier.bias)], {
    outputs: ['logits'],
  })
  graph.output('logits', DATA_TYPE.FLOAT, ['N', LABELS])
  return modelOf(graph.finish())
}

class EncoderBlocks {
  readonly #graph: GraphBuilder
  readonly #operators: EncoderOperators
  readonly #splitHeads: string
  readonly #joinHeads: string
  readonly #one: string
  readonly #half: string
  readonly #rootTwo: string
  readonly #scoreScale: string

  constructor(graph: GraphBuilder, operators: EncoderOperators) {
    this.#graph = graph
    this.#operators = operators
    this.#splitHeads = graph.int64s('split_heads', [0, 0, HEADS, HEAD_WIDTH])
    this.#joinHeads = graph.int64s('join_heads', [0, 0, HIDDEN])
    this.#one = graph.scalar('one', 1)
    this.#half = graph.scalar('half', 0.5)
    this.#rootTwo = graph.scalar('root_two', Math.SQRT2)
    this.#scoreScale = graph.scalar('score_scale', Math.sqrt(HEAD_WIDTH))
  }

  tensor(spec: WeightSpec): string {
    return this.#graph.weights(spec.name, spec.shape, this.#operators.values(spec))
  }

  /** ids [N, T] to [N, T, hidden]. */
  embeddings(spec: EncoderSpec, ids: string): string {
    const graph = this.#graph
    const tokens = this.#operators.embed(graph, spec.tokens, ids)
    const shape = graph.node('Shape', [ids])
    const length = graph.node('Gather', [shape, graph.int64s('axis_tokens', [1])])
    const positions = graph.node('Slice', [this.tensor(spec.positions), graph.int64s('zero', [0]), length])
    return this.#norm(spec.embeddingNorm, graph.node('Add', [tokens, positions]))
  }

  /** 1 for a token and 0 for padding [N, T] to what is added to attention scores [N, 1, 1, T]. */
  maskBias(keep: string): string {
    const graph = this.#graph
    const missing = graph.node('Sub', [this.#one, keep])
    const bias = graph.node('Mul', [missing, graph.scalar('masked_score', MASKED_SCORE)])
    return graph.node('Unsqueeze', [bias, graph.int64s('axes_heads_queries', [1, 2])])
  }

  layer(spec: LayerSpec, x: string, bias: string): string {
    const attention = this.#norm(spec.attentionNorm, this.#graph.node('Add', [x, this.#attention(spec, x, bias)]))
    const up = this.#gelu(this.#operators.linear(this.#graph, spec.up, attention))
    const down = this.#operators.linear(this.#graph, spec.down, up)
    return this.#norm(spec.outNorm, this.#graph.node('Add', [attention, down]))
  }

  /** x [N, T, hidden] to [N, hidden]; padding does not count, an all-padding row gives zeros. */
  meanOverTokens(x: string, keep: string): string {
    const graph = this.#graph
    const axis = graph.int64s('axis_last', [-1])
    const tokenAxis = graph.int64s('axis_sum', [1])
    const attributes = { keepdims: { kind: 'int', value: 0 } } as const
    const kept = graph.node('Mul', [x, graph.node('Unsqueeze', [keep, axis])])
    const sum = graph.node('ReduceSum', [kept, tokenAxis], { attributes })
    const count = graph.node('ReduceSum', [keep, tokenAxis], { attributes: { keepdims: { kind: 'int', value: 1 } } })
    return graph.node('Div', [sum, graph.node('Max', [count, this.#one])])
  }

  #attention(spec: LayerSpec, x: string, bias: string): string {
    const graph = this.#graph
    const query = this.#heads(spec.query, x, [0, 2, 1, 3])
    const key = this.#heads(spec.key, x, [0, 2, 3, 1])
    const value = this.#heads(spec.value, x, [0, 2, 1, 3])
    const scores = graph.node('Div', [graph.node('MatMul', [query, key]), this.#scoreScale])
    const weights = graph.node('Softmax', [graph.node('Add', [scores, bias])], {
      attributes: { axis: { kind: 'int', value: -1 } },
    })
    const mixed = graph.node('Transpose', [graph.node('MatMul', [weights, value])], perm([0, 2, 1, 3]))
    const joined = graph.node('Reshape', [mixed, this.#joinHeads])
    return this.#operators.linear(graph, spec.attentionOut, joined)
  }

  #heads(spec: LinearSpec, x: string, order: readonly number[]): string {
    const projected = this.#operators.linear(this.#graph, spec, x)
    const split = this.#graph.node('Reshape', [projected, this.#splitHeads])
    return this.#graph.node('Transpose', [split], perm(order))
  }

  #norm(spec: NormSpec, x: string): string {
    return this.#graph.node('LayerNormalization', [x, this.tensor(spec.gain), this.tensor(spec.bias)], {
      attributes: { axis: { kind: 'int', value: -1 }, epsilon: { kind: 'float', value: NORM_EPSILON } },
    })
  }

  #gelu(x: string): string {
    const graph = this.#graph
    const erf = graph.node('Erf', [graph.node('Div', [x, this.#rootTwo])])
    return graph.node('Mul', [graph.node('Mul', [x, graph.node('Add', [erf, this.#one])]), this.#half])
  }
}

function perm(order: readonly number[]): { attributes: { perm: { kind: 'ints'; values: readonly number[] } } } {
  return { attributes: { perm: { kind: 'ints', values: order } } }
}
