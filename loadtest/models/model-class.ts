/**
 * What every class of the zoo offers: models by recipe, inputs for them and the answers they must give.
 * The answers are computed from the recipe's weights in plain TypeScript, never by the engine under test.
 */
import type { OnnxModel } from './onnx-model.ts'
import type { Rng } from './random.ts'
import type { NamedTensor } from './tensor.ts'

export const CLASS_NAMES = ['XS', 'S', 'M', 'Q', 'R', 'L', 'T'] as const
export type ClassName = (typeof CLASS_NAMES)[number]

/**
 * What two customers' models have in common: nothing (`full`), everything but the last layers (`head`), or everything but the last layer
 * and low-rank matrices that are initializers of their own and are added as `x @ W + (x @ A) @ B` (`lora`).
 */
export type Family = 'full' | 'head' | 'lora'

/** Names one model exactly: the same recipe gives the same bytes on every machine. */
export interface Recipe {
  readonly customer: number
  readonly family: Family
  /** Chooses the shared weights too: models of different seeds share nothing. */
  readonly seed: number
}

/**
 * One class of models. An instance keeps the shared weights of the seed it was last asked for (up to the class's size), so keep the
 * instance while building many customers and drop it afterwards. Not meant for concurrent use across seeds.
 */
export interface ModelClass {
  readonly name: ClassName
  /** Families the class has; `build` and `expected` throw RangeError for others. */
  readonly families: readonly Family[]
  /** How far a right answer may be from `expected`, as `largestDeviation` measures it. */
  readonly tolerance: number
  /** Whether rows of a batch are independent, so that stacked requests answer as single ones do. */
  readonly isBatchSafe: boolean
  build(recipe: Recipe): OnnxModel
  /** Inputs of `batch` rows, different with every call on the same `rng`. */
  sampleInputs(rng: Rng, batch: number): NamedTensor[]
  /** The outputs that the recipe's model must give on `inputs`. */
  expected(recipe: Recipe, inputs: readonly NamedTensor[]): NamedTensor[]
}

/** Throws RangeError unless the class has the family. */
export function assertFamily({ name, families }: Pick<ModelClass, 'name' | 'families'>, family: Family): void {
  if (!families.includes(family)) {
    throw new RangeError(`class ${name} has no family ${family}, only ${families.join(', ')}`)
  }
}
