/**
 * The layers of ResNet-50 (version 1.5: the stride sits on the 3 x 3 convolution), batch normalisation folded into the convolutions as
 * exporters do: 25.5 million weights in 53 convolutions and one fully connected layer.
 */
import type { WeightSpec } from './weights.ts'

export const IMAGE_CHANNELS = 3
export const STEM_CHANNELS = 64
export const CLASSES = 1000
export const FEATURES = 2048

/** Bottlenecks per stage, and the width of their inner convolutions. */
const STAGES = [
  { blocks: 3, width: 64, stride: 1 },
  { blocks: 4, width: 128, stride: 2 },
  { blocks: 6, width: 256, stride: 2 },
  { blocks: 3, width: 512, stride: 2 },
] as const

/** A bottleneck's output has so many times the channels of its inner convolutions. */
const EXPANSION = 4

/** Standard deviation of a block's last convolution relative to He's rule: sixteen sums of blocks would otherwise double their variance each. */
const LAST_CONVOLUTION_SCALE = 0.4

export interface ConvSpec {
  /** [outputs, inputs, kernel, kernel]. */
  readonly weight: WeightSpec
  /** [outputs]. */
  readonly bias: WeightSpec
  readonly inputs: number
  readonly outputs: number
  readonly kernel: number
  readonly stride: number
  /** Rows and columns of zeros on every side. */
  readonly padding: number
}

export interface BottleneckSpec {
  readonly reduce: ConvSpec
  readonly middle: ConvSpec
  readonly expand: ConvSpec
  /** On the shortcut, where the block changes size or channels. */
  readonly shortcut?: ConvSpec
}

export interface ResnetSpec {
  readonly stem: ConvSpec
  readonly blocks: readonly BottleneckSpec[]
  /** [classes, features]. */
  readonly fcWeight: WeightSpec
  readonly fcBias: WeightSpec
}

export function resnetSpec(): ResnetSpec {
  const blocks: BottleneckSpec[] = []
  let channels = STEM_CHANNELS
  for (const [stage, { blocks: count, width, stride }] of STAGES.entries()) {
    for (let block = 0; block < count; block += 1) {
      blocks.push(bottleneck(`stage${stage + 1}.block${block}`, channels, width, block === 0 ? stride : 1))
      channels = width * EXPANSION
    }
  }
  return {
    stem: conv('stem', IMAGE_CHANNELS, STEM_CHANNELS, 7, 2),
    blocks,
    fcWeight: { name: 'fc.weight', shape: [CLASSES, FEATURES], share: 'own', deviation: 1 / Math.sqrt(FEATURES) },
    fcBias: { name: 'fc.bias', shape: [CLASSES], share: 'own', deviation: 0.1 },
  }
}

function bottleneck(name: string, inputs: number, width: number, stride: number): BottleneckSpec {
  const outputs = width * EXPANSION
  const block = {
    reduce: conv(`${name}.reduce`, inputs, width, 1, 1),
    middle: conv(`${name}.middle`, width, width, 3, stride),
    expand: conv(`${name}.expand`, width, outputs, 1, 1, LAST_CONVOLUTION_SCALE),
  }
  return inputs === outputs ? block : { ...block, shortcut: conv(`${name}.shortcut`, inputs, outputs, 1, stride) }
}

function conv(name: string, inputs: number, outputs: number, kernel: number, stride: number, scale = 1): ConvSpec {
  const deviation = scale * Math.sqrt(2 / (inputs * kernel * kernel))
  return {
    weight: { name: `${name}.weight`, shape: [outputs, inputs, kernel, kernel], share: 'backbone', deviation },
    bias: { name: `${name}.bias`, shape: [outputs], share: 'backbone', deviation: 0.05 },
    inputs,
    outputs,
    kernel,
    stride,
    padding: (kernel - 1) / 2,
  }
}
