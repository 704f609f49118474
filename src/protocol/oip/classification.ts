/**
 * Triton's classification extension: the best classes of an output instead of the output, as BYTES "value:index". Rows are those of
 * dimension 0; an output of one dimension is a single row. There are no labels: models bring none.
 */
import type { Tensor } from '../../domain/tensor-types.ts'
import { halfValue } from './half-float.ts'
import { badRequest } from './tensor-errors.ts'

/** Decimals of a value, as C's `%f` and so Triton writes it. */
const DECIMALS = 6

/**
 * `tensor` [N, ...] to BYTES [N, k], [C] to [k], with k = `classes` or as many as there are; the highest first, of equal ones that of
 * the lower index, NaN last. @throws GatewayError BAD_REQUEST for a tensor of strings
 */
export function classified({ name, datatype, shape, data }: Tensor, classes: number): Tensor {
  if (datatype === 'BYTES') throw badRequest(`output '${name}' holds strings, which cannot be ranked`)
  const rows = shape.length > 1 ? (shape[0] ?? 1) : 1
  const width = rows === 0 ? 0 : data.length / rows
  const count = Math.min(classes, width)
  const valueAt = (i: number): number | bigint => {
    const value = data[i] as number | bigint
    return datatype === 'FP16' ? halfValue(value as number) : value
  }
  const isWhole = !datatype.startsWith('FP')
  const texts: string[] = []
  for (let row = 0; row < rows; row++) {
    const start = row * width
    const order = Uint32Array.from({ length: width }, (_, i) => i).sort((a, b) =>
      descending(valueAt(start + a), valueAt(start + b)),
    )
    for (const i of order.subarray(0, count)) {
      const value = valueAt(start + i)
      texts.push(`${isWhole ? value : fixed(Number(value))}:${i}`)
    }
  }
  return { name, datatype: 'BYTES', shape: shape.length > 1 ? [rows, count] : [count], data: texts }
}

function descending(a: number | bigint, b: number | bigint): number {
  if (a === b) return 0
  // Comparisons with NaN are all false: whichever is one goes last.
  if (Number.isNaN(a)) return 1
  if (Number.isNaN(b)) return -1
  return a > b ? -1 : 1
}

function fixed(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  // `toFixed` turns to exponents here, and C does not.
  return Math.abs(value) < 1e21 ? value.toFixed(DECIMALS) : `${BigInt(value)}.000000`
}
