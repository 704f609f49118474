/** Random rows in the manner of inputs that a model is known to take: same shapes beyond dimension 0, values from the same range. */
import type { Tensor } from '../domain/tensor-types.ts'
import type { Random } from './random.ts'
import { emptyLike, rowElements } from './tensor-rows.ts'

/**
 * Numbers with fractions are blends of the template's own values with noise; everything else is drawn from the values that are there,
 * so that an id stays an id and a mask a mask.
 */
export function sampleRows(template: readonly Tensor[], rows: number, random: Random): Tensor[] {
  return template.map((tensor) => {
    const count = rows * rowElements(tensor)
    const data = emptyLike(tensor.data, count)
    const target = data as unknown[]
    const isFloat = data instanceof Float32Array || data instanceof Float64Array
    for (let i = 0; i < count; i++) {
      const value = tensor.data.length === 0 ? 0 : tensor.data[random.below(tensor.data.length)]
      target[i] = isFloat && typeof value === 'number' ? value * (0.5 + random.next()) : value
    }
    return { ...tensor, shape: [rows, ...tensor.shape.slice(1)], data }
  })
}
