/**
 * Triton's classification extension: the best classes of an output instead of the output, as BYTES "value:index". Rows are those of
 * dimension 0; an output of one dimension is a single row. There are no labels: models bring none.
 */
import type { Tensor } from '../../domain/tensor-types.ts'
import type { AnswerLimit } from './answer-limit.ts'
import { Best } from './best.ts'
import { halfValue } from './half-float.ts'
import { badRequest } from './tensor-errors.ts'

/** Decimals of a value, as C's `%f` and so Triton writes it. */
const DECIMALS = 6
/** Shortest text of a class, `0:0`, with what an answer puts around it. */
const MIN_CLASS_BYTES = 6

/**
 * `tensor` [N, ...] to BYTES [N, k], [C] to [k], with k = `classes` or as many as there are; the highest first, of equal ones that of
 * the lower index, NaN last. What `limit` has no room for is refused before it is made: texts take ten times the memory of numbers.
 * @throws GatewayError BAD_REQUEST for a tensor of strings, BAD_INPUT_VALUE for too many classes
 */
export function classified(
  { name, datatype, shape, data }: Tensor,
  classes: number,
  limit: Pick<AnswerLimit, 'expect'>,
): Tensor {
  if (datatype === 'BYTES') throw badRequest(`output '${name}' holds strings, which cannot be ranked`)
  const rows = shape.length > 1 ? (shape[0] ?? 1) : 1
  const width = rows === 0 ? 0 : data.length / rows
  const count = Math.min(classes, width)
  const valueAt = (i: number): number | bigint => {
    const value = data[i] as number | bigint
    return datatype === 'FP16' ? halfValue(value as number) : value
  }
  const isWhole = !datatype.startsWith('FP')
  limit.expect(MIN_CLASS_BYTES * rows * count)
  const best = new Best(count, (a, b) => descending(valueAt(a), valueAt(b)) || a - b)
  const texts: string[] = []
  let bytes = 0
  for (let row = 0; row < rows; row++) {
    const start = row * width
    for (const place of best.of(start, start + width)) {
      const value = valueAt(place)
      const text = `${isWhole ? value : fixed(Number(value))}:${place - start}`
      bytes += text.length
      texts.push(text)
    }
    limit.expect(bytes)
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
