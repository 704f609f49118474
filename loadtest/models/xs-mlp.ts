import { Mlp } from './mlp.ts'

/** XS: 18,696 weights, 75 KB. The size of a churn or fraud score over a row of features. */
export function xsMlp(): Mlp {
  return new Mlp('XS', [64, 256, 8])
}
