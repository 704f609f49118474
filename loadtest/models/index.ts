/** The model zoo's front door: classes by name, recipes, tensors, and whole folders of models. */

import { Lstm } from './l-lstm.ts'
import { FloatEncoder } from './m-encoder.ts'
import type { ClassName, ModelClass } from './model-class.ts'
import { Int8Encoder } from './q-encoder.ts'
import { Resnet50 } from './r-resnet50.ts'
import { sMlp } from './s-mlp.ts'
import { Trees } from './t-trees.ts'
import { xsMlp } from './xs-mlp.ts'

export type { ClassName, Family, ModelClass, Recipe } from './model-class.ts'
export { CLASS_NAMES } from './model-class.ts'
export { modelBytes, writeModel } from './onnx-writer.ts'
export { Rng } from './random.ts'
export type { NamedTensor, TensorValues } from './tensor.ts'
export { float32Values, int64Values, largestDeviation, tensorNamed } from './tensor.ts'
export type { ModelSet, WriteProgress, WrittenFolder } from './write-folder.ts'
export { modelName, writeFolder } from './write-folder.ts'

/** What a class is made for where its graph or its evaluator depends on it; each has a default that benches use. */
export interface SampleSizes {
  /** M and Q: tokens of the longest text in `sampleInputs`. Default 16. */
  readonly tokens?: number
  /** L: steps of a sequence in `sampleInputs`. Default 24. */
  readonly steps?: number
  /** R: height and width of its images, fixed in the graph. Default 224. */
  readonly imageSize?: number
}

const CLASSES: Readonly<Record<ClassName, (sizes: SampleSizes) => ModelClass>> = {
  XS: () => xsMlp(),
  S: () => sMlp(),
  M: ({ tokens }) => new FloatEncoder(tokens),
  Q: ({ tokens }) => new Int8Encoder(tokens),
  R: ({ imageSize }) => new Resnet50(imageSize),
  L: ({ steps }) => new Lstm(steps),
  T: () => new Trees(),
}

/** A new instance of the class, with no weights kept yet. */
export function modelClass(name: ClassName, sizes: SampleSizes = {}): ModelClass {
  return CLASSES[name](sizes)
}
