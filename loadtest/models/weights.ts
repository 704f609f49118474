/**
 * Where weights come from: a recipe and a tensor's name give its values, shared ones are made once and kept.
 * Invariant: a tensor's values depend on nothing but the class, the seed, its name and, when it is the customer's own, the customer.
 */
import { elementCount } from '../../src/domain/tensor-types.ts'
import type { Family, Recipe } from './model-class.ts'
import { Rng } from './random.ts'
import { SharedCache } from './shared-cache.ts'

/** `backbone`: shared by the customers of a family other than `full`. `own`: always the customer's. */
export type Share = 'backbone' | 'own'

export interface WeightSpec {
  readonly name: string
  readonly shape: readonly number[]
  readonly share: Share
  /** Standard deviation of the values. */
  readonly deviation: number
  /** Added to every value; 0 when absent. */
  readonly mean?: number
}

export class WeightSource {
  readonly #className: string
  readonly #shared = new SharedCache<Float32Array>()

  constructor(className: string) {
    this.#className = className
  }

  /** The tensor's values, row-major. A shared array is handed out again: do not write to it. */
  values({ family, seed, customer }: Recipe, spec: WeightSpec): Float32Array {
    if (!isShared(family, spec.share)) return this.#make(spec, seed, customer)
    return this.#shared.get(seed, spec.name, () => this.#make(spec, seed, 'shared'))
  }

  #make({ name, shape, deviation, mean = 0 }: WeightSpec, seed: number, owner: number | 'shared'): Float32Array {
    const values = new Float32Array(elementCount(shape))
    new Rng(this.#className, seed, owner, name).fillBell(values, deviation)
    if (mean !== 0) for (let i = 0; i < values.length; i += 1) values[i] = (values[i] ?? 0) + mean
    return values
  }
}

/** Whether customers of the family have the tensor in common. */
export function isShared(family: Family, share: Share): boolean {
  return family !== 'full' && share === 'backbone'
}
