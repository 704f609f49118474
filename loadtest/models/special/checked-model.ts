import type { OnnxModel } from '../onnx-model.ts'
import type { Rng } from '../random.ts'
import type { NamedTensor } from '../tensor.ts'

/** A model for one purpose, with inputs that it accepts and the answers it must give on any such inputs, to 1e-4 of their size. */
export interface CheckedModel {
  readonly model: OnnxModel
  readonly inputs: (rng: Rng, batch: number) => NamedTensor[]
  readonly expected: (inputs: readonly NamedTensor[]) => NamedTensor[]
}
