/**
 * R: ResNet-50, 102 MB, image [N, 3, size, size] in, logits [N, 1000] out. The fully connected layer, 8 MB, is the head.
 */
import { GraphBuilder } from './graph-builder.ts'
import { assertFamily, type ModelClass, type Recipe } from './model-class.ts'
import { DATA_TYPE, modelOf, type OnnxModel } from './onnx-model.ts'
import type { Rng } from './random.ts'
import { add, at, relu } from './reference-math.ts'
import { averagePool, convolve, type Image, maxPool } from './resnet-reference.ts'
import { CLASSES, type ConvSpec, FEATURES, IMAGE_CHANNELS, resnetSpec } from './resnet-weights.ts'
import { float32Tensor, float32Values, type NamedTensor } from './tensor.ts'
import { WeightSource, type WeightSpec } from './weights.ts'

export class Resnet50 implements ModelClass {
  readonly name = 'R'
  readonly families = ['full', 'head'] as const
  readonly tolerance = 1e-3
  readonly isBatchSafe = true
  readonly #spec = resnetSpec()
  readonly #source = new WeightSource('R')
  readonly #imageSize: number

  /** `imageSize`: height and width of the images, in pixels. The evaluator takes seconds at 224, a fraction of one at 32. */
  constructor(imageSize = 224) {
    this.#imageSize = imageSize
  }

  build(recipe: Recipe): OnnxModel {
    assertFamily(this, recipe.family)
    const graph = new GraphBuilder('resnet50')
    const tensor = (spec: WeightSpec): string => graph.weights(spec.name, spec.shape, this.#source.values(recipe, spec))
    const conv = (spec: ConvSpec, x: string): string =>
      graph.node('Conv', [x, tensor(spec.weight), tensor(spec.bias)], { attributes: convAttributes(spec) })

    const image = graph.input('image', DATA_TYPE.FLOAT, ['N', IMAGE_CHANNELS, this.#imageSize, this.#imageSize])
    let x = graph.node('Relu', [conv(this.#spec.stem, image)])
    x = graph.node('MaxPool', [x], { attributes: windowAttributes(3, 2, 1) })
    for (const { reduce, middle, expand, shortcut } of this.#spec.blocks) {
      const inner = graph.node('Relu', [conv(middle, graph.node('Relu', [conv(reduce, x)]))])
      const sum = graph.node('Add', [conv(expand, inner), shortcut === undefined ? x : conv(shortcut, x)])
      x = graph.node('Relu', [sum])
    }
    const features = graph.node('Flatten', [graph.node('GlobalAveragePool', [x])])
    graph.node('Gemm', [features, tensor(this.#spec.fcWeight), tensor(this.#spec.fcBias)], {
      attributes: { transB: { kind: 'int', value: 1 } },
      outputs: ['logits'],
    })
    graph.output('logits', DATA_TYPE.FLOAT, ['N', CLASSES])
    return modelOf(graph.finish())
  }

  sampleInputs(rng: Rng, batch: number): NamedTensor[] {
    const shape = [batch, IMAGE_CHANNELS, this.#imageSize, this.#imageSize]
    const data = new Float32Array(batch * IMAGE_CHANNELS * this.#imageSize ** 2)
    return [float32Tensor('image', shape, rng.fillBell(data, 1))]
  }

  expected(recipe: Recipe, inputs: readonly NamedTensor[]): NamedTensor[] {
    assertFamily(this, recipe.family)
    const images = float32Values(inputs, 'image')
    const size = IMAGE_CHANNELS * this.#imageSize ** 2
    const batch = images.length / size
    const logits = new Float32Array(batch * CLASSES)
    for (let row = 0; row < batch; row += 1) {
      logits.set(this.#logits(recipe, images.subarray(row * size, (row + 1) * size)), row * CLASSES)
    }
    return [float32Tensor('logits', [batch, CLASSES], logits)]
  }

  #logits(recipe: Recipe, pixels: Float32Array): Float64Array {
    const values = (spec: WeightSpec): Float32Array => this.#source.values(recipe, spec)
    const conv = (spec: ConvSpec, x: Image): Image => convolve(x, spec, values(spec.weight), values(spec.bias))
    const rectified = (x: Image): Image => ({ ...x, data: relu(x.data) })

    const image = { channels: IMAGE_CHANNELS, height: this.#imageSize, width: this.#imageSize, data: pixels }
    let x = maxPool(rectified(conv(this.#spec.stem, image)))
    for (const { reduce, middle, expand, shortcut } of this.#spec.blocks) {
      const inner = conv(expand, rectified(conv(middle, rectified(conv(reduce, x)))))
      const around = shortcut === undefined ? x : conv(shortcut, x)
      x = { ...inner, data: relu(add(inner.data, around.data)) }
    }
    const features = averagePool(x)
    const weight = values(this.#spec.fcWeight)
    return Float64Array.from(values(this.#spec.fcBias), (bias, row) =>
      features.reduce((sum, feature, i) => sum + feature * at(weight, row * FEATURES + i), bias),
    )
  }
}

function convAttributes({ kernel, stride, padding }: ConvSpec): ReturnType<typeof windowAttributes> {
  return windowAttributes(kernel, stride, padding)
}

function windowAttributes(kernel: number, stride: number, padding: number) {
  return {
    kernel_shape: { kind: 'ints', values: [kernel, kernel] },
    strides: { kind: 'ints', values: [stride, stride] },
    pads: { kind: 'ints', values: [padding, padding, padding, padding] },
  } as const
}
