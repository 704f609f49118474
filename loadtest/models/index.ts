/** The model zoo's front door: classes by name, recipes, tensors, and whole folders of models. */

import { FloatEncoder } from './m-encoder.ts'
import type { ClassName, ModelClass } from './model-class.ts'
import { Int8Encoder } from './q-encoder.ts'
import { sMlp } from './s-mlp.ts'
import { xsMlp } from './xs-mlp.ts'

export type { ClassName, Family, ModelClass, Recipe } from './model-class.ts'
export { CLASS_NAMES } from './model-class.ts'
export { modelBytes, writeModel } from './onnx-writer.ts'
export { Rng } from './random.ts'
export type { NamedTensor, TensorValues } from './tensor.ts'
export { float32Values, int64Values, largestDeviation, tensorNamed } from './tensor.ts'
export type { ModelSet, WriteProgress, WrittenFolder } from './write-folder.ts'
export { modelName, writeFolder } from './write-folder.ts'

const CLASSES: Partial<Record<ClassName, () => ModelClass>> = {
  XS: xsMlp,
  S: sMlp,
  M: () => new FloatEncoder(),
  Q: () => new Int8Encoder(),
}

/** A new instance of the class, with no weights kept yet. */
export function modelClass(name: ClassName): ModelClass {
  const make = CLASSES[name]
  if (make === undefined) throw new RangeError(`no model class ${name}`)
  return make()
}
