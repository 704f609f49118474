/**
 * The weights of classes M and Q: a transformer encoder of MiniLM's shape, 22.6 million weights, half of them token embeddings.
 * Names and sizes only; layers are normalised after each block, so Xavier scaling keeps every activation of order one.
 */
import type { Share, WeightSpec } from './weights.ts'

export const VOCABULARY = 30_522
export const POSITIONS = 512
export const HIDDEN = 384
export const HEADS = 12
export const HEAD_WIDTH = HIDDEN / HEADS
export const FEED_FORWARD = 1536
export const LAYERS = 6
export const LABELS = 8
export const LORA_RANK = 8
export const NORM_EPSILON = 1e-5

/** Added to an attention score for a masked token; small enough to vanish in a softmax, large enough for float16. */
export const MASKED_SCORE = -10_000

export interface LinearSpec {
  /** [inputs, outputs]. */
  readonly weight: WeightSpec
  /** [outputs]. */
  readonly bias: WeightSpec
  readonly inputs: number
  readonly outputs: number
  /** Low-rank A [inputs, rank] and B [rank, outputs] that family `lora` adds. */
  readonly lora?: { readonly a: WeightSpec; readonly b: WeightSpec }
}

export interface NormSpec {
  readonly gain: WeightSpec
  readonly bias: WeightSpec
}

export interface LayerSpec {
  readonly query: LinearSpec
  readonly key: LinearSpec
  readonly value: LinearSpec
  readonly attentionOut: LinearSpec
  readonly attentionNorm: NormSpec
  readonly up: LinearSpec
  readonly down: LinearSpec
  readonly outNorm: NormSpec
}

export interface EncoderSpec {
  readonly tokens: WeightSpec
  readonly positions: WeightSpec
  readonly embeddingNorm: NormSpec
  readonly layers: readonly LayerSpec[]
  readonly classifier: LinearSpec
}

export function encoderSpec(): EncoderSpec {
  return {
    tokens: { name: 'embeddings.tokens', shape: [VOCABULARY, HIDDEN], share: 'backbone', deviation: 1 },
    positions: { name: 'embeddings.positions', shape: [POSITIONS, HIDDEN], share: 'backbone', deviation: 0.3 },
    embeddingNorm: norm('embeddings.norm'),
    layers: Array.from({ length: LAYERS }, (_, i) => layer(`layer${i}`)),
    classifier: linear('classifier', HIDDEN, LABELS, 'own'),
  }
}

function layer(name: string): LayerSpec {
  return {
    query: withLora(linear(`${name}.query`, HIDDEN, HIDDEN)),
    key: linear(`${name}.key`, HIDDEN, HIDDEN),
    value: withLora(linear(`${name}.value`, HIDDEN, HIDDEN)),
    attentionOut: linear(`${name}.attention_out`, HIDDEN, HIDDEN),
    attentionNorm: norm(`${name}.attention_norm`),
    up: linear(`${name}.up`, HIDDEN, FEED_FORWARD),
    down: linear(`${name}.down`, FEED_FORWARD, HIDDEN),
    outNorm: norm(`${name}.out_norm`),
  }
}

function linear(name: string, inputs: number, outputs: number, share: Share = 'backbone'): LinearSpec {
  return {
    weight: { name: `${name}.weight`, shape: [inputs, outputs], share, deviation: 1 / Math.sqrt(inputs) },
    bias: { name: `${name}.bias`, shape: [outputs], share, deviation: 0.05 },
    inputs,
    outputs,
  }
}

/** B is scaled so that the adapter adds a third of what the base layer gives: enough to tell customers apart with certainty. */
function withLora(base: LinearSpec): LinearSpec {
  const { inputs, outputs, weight } = base
  const a: WeightSpec = {
    name: `${weight.name}.lora_a`,
    shape: [inputs, LORA_RANK],
    share: 'own',
    deviation: 1 / Math.sqrt(inputs),
  }
  const b: WeightSpec = {
    name: `${weight.name}.lora_b`,
    shape: [LORA_RANK, outputs],
    share: 'own',
    deviation: 0.35 / Math.sqrt(LORA_RANK),
  }
  return { ...base, lora: { a, b } }
}

function norm(name: string): NormSpec {
  return {
    gain: { name: `${name}.gain`, shape: [HIDDEN], share: 'backbone', deviation: 0.1, mean: 1 },
    bias: { name: `${name}.bias`, shape: [HIDDEN], share: 'backbone', deviation: 0.1 },
  }
}
