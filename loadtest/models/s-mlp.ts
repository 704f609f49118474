import { Mlp } from './mlp.ts'

/** S: 1,240,336 weights, 5 MB. A recommender's ranking tower. */
export function sMlp(): Mlp {
  return new Mlp('S', [256, 768, 768, 576, 16])
}
