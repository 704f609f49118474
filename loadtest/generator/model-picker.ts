/** Which model a request is for: a sequence of indices into the work list. */

import type { Clock } from '../../src/lib/clock.ts'
import { Rng } from '../models/index.ts'
import type { Popularity } from './plan.ts'
import { ZipfSampler } from './zipf.ts'

/** The next index, or undefined when the load has no more. */
export type ModelPicker = () => number | undefined

export function modelPicker(popularity: Popularity, models: number, seed: number, clock: Clock): ModelPicker {
  const rng = new Rng('popularity', seed)
  if (popularity.kind === 'uniform') return () => rng.below(models)
  if (popularity.kind === 'once') {
    let next = 0
    return () => (next < models ? next++ : undefined)
  }
  const order = shuffled(models, rng)
  const sampler = new ZipfSampler(rng, models, popularity.exponent)
  const { driftSeconds, driftModels = 1 } = popularity
  if (driftSeconds === undefined) return () => order[sampler.next()]
  const startedAt = clock.now()
  return () => {
    const steps = Math.floor((clock.now() - startedAt) / (driftSeconds * 1000))
    return order[(sampler.next() + steps * driftModels) % models]
  }
}

/** 0 to `count` - 1 in random order (Fisher and Yates, as Durstenfeld gave it in CACM 7(7), 1964). */
function shuffled(count: number, rng: Rng): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i -= 1) {
    const j = rng.below(i + 1)
    const kept = order[i] ?? 0
    order[i] = order[j] ?? 0
    order[j] = kept
  }
  return order
}
