/**
 * The encoder's answers in plain TypeScript. Activations are [batch * tokens, width], row-major, float64.
 * A few million multiplications per token: meant for checking answers on short inputs, not for speed.
 */
import type { EncoderSpec, LayerSpec, LinearSpec } from './encoder-weights.ts'
import { HEAD_WIDTH, HEADS, HIDDEN, LABELS, MASKED_SCORE, NORM_EPSILON } from './encoder-weights.ts'
import type { Numbers } from './reference-math.ts'
import { add, at, gelu, layerNorm, matMul, softmax } from './reference-math.ts'
import type { NamedTensor } from './tensor.ts'
import { float32Tensor, int64Values, tensorNamed } from './tensor.ts'
import type { WeightSpec } from './weights.ts'

/** What differs between the float and the int8 encoder. */
export interface ReferenceOperators {
  /** The token table's rows for these ids, one after the other. */
  embed(spec: WeightSpec, ids: readonly number[]): Float64Array
  /** x [rows, inputs] to [rows, outputs], bias included. */
  linear(spec: LinearSpec, x: Float64Array): Float64Array
  values(spec: WeightSpec): Float32Array
}

/** logits [N, labels] for input_ids and attention_mask [N, T]. */
export function encoderAnswers(
  spec: EncoderSpec,
  operators: ReferenceOperators,
  inputs: readonly NamedTensor[],
): NamedTensor[] {
  const ids = Array.from(int64Values(inputs, 'input_ids'), Number)
  const keep = Array.from(int64Values(inputs, 'attention_mask'), Number)
  const tokens = tensorNamed(inputs, 'input_ids').shape[1] ?? 1
  const batch = ids.length / tokens

  let x = operators.embed(spec.tokens, ids)
  const positions = operators.values(spec.positions)
  x = x.map((value, i) => value + at(positions, i % (tokens * HIDDEN)))
  x = norm(operators, spec.embeddingNorm, x)
  for (const layer of spec.layers) {
    const attended = attention(operators, layer, x, keep, tokens)
    const middle = norm(operators, layer.attentionNorm, add(x, attended))
    const down = operators.linear(layer.down, gelu(operators.linear(layer.up, middle)))
    x = norm(operators, layer.outNorm, add(middle, down))
  }
  const { weight, bias } = spec.classifier
  const logits = matMul(
    meanOverTokens(x, keep, tokens),
    operators.values(weight),
    HIDDEN,
    LABELS,
    operators.values(bias),
  )
  return [float32Tensor('logits', [batch, LABELS], Float32Array.from(logits))]
}

function norm(
  operators: ReferenceOperators,
  { gain, bias }: { gain: WeightSpec; bias: WeightSpec },
  x: Float64Array,
): Float64Array {
  return layerNorm(x, operators.values(gain), operators.values(bias), NORM_EPSILON)
}

function attention(
  operators: ReferenceOperators,
  layer: LayerSpec,
  x: Float64Array,
  keep: readonly number[],
  tokens: number,
): Float64Array {
  const query = operators.linear(layer.query, x)
  const key = operators.linear(layer.key, x)
  const value = operators.linear(layer.value, x)
  const mixed = new Float64Array(x.length)
  const rows = x.length / HIDDEN
  for (let row = 0; row < rows; row += 1) {
    const first = row - (row % tokens)
    for (let head = 0; head < HEADS; head += 1) {
      const offset = head * HEAD_WIDTH
      const scores = Float64Array.from({ length: tokens }, (_, t) => {
        const product = dot(query, row * HIDDEN + offset, key, (first + t) * HIDDEN + offset, HEAD_WIDTH)
        return product / Math.sqrt(HEAD_WIDTH) + (1 - (keep[first + t] ?? 0)) * MASKED_SCORE
      })
      for (const [t, weight] of softmax(scores, tokens).entries()) {
        for (let i = 0; i < HEAD_WIDTH; i += 1) {
          const to = row * HIDDEN + offset + i
          mixed[to] = at(mixed, to) + weight * at(value, (first + t) * HIDDEN + offset + i)
        }
      }
    }
  }
  return operators.linear(layer.attentionOut, mixed)
}

function dot(x: Numbers, xStart: number, y: Numbers, yStart: number, length: number): number {
  let sum = 0
  for (let i = 0; i < length; i += 1) sum += at(x, xStart + i) * at(y, yStart + i)
  return sum
}

function meanOverTokens(x: Float64Array, keep: readonly number[], tokens: number): Float64Array {
  const batch = keep.length / tokens
  const out = new Float64Array(batch * HIDDEN)
  for (let row = 0; row < batch; row += 1) {
    let count = 0
    for (let t = 0; t < tokens; t += 1) {
      const weight = keep[row * tokens + t] ?? 0
      count += weight
      for (let i = 0; i < HIDDEN; i += 1) {
        const to = row * HIDDEN + i
        out[to] = at(out, to) + weight * at(x, (row * tokens + t) * HIDDEN + i)
      }
    }
    for (let i = 0; i < HIDDEN; i += 1) out[row * HIDDEN + i] = at(out, row * HIDDEN + i) / Math.max(count, 1)
  }
  return out
}
