/** Does the shape of a request's tensor fit what the model declares? */
import { printable } from '../../domain/model-ref.ts'
import type { TensorSpec } from '../../domain/tensor-types.ts'
import { describe, mismatch, shortList } from './tensor-errors.ts'

/** No operator of ONNX needs more; it also bounds how deep nested data is walked. */
const MAX_RANK = 32

/** A tensor without elements costs no bytes, so nothing else bounds its other sizes, which outputs may take over. */
const MAX_EMPTY_SIZE = 1_000_000

/** A symbolic dimension's size, and the input that set it. */
export type Symbols = Map<string, { readonly size: number; readonly input: string }>

/**
 * A spec without dimensions is a scalar or of unknown rank (the engine does not tell them apart): every shape passes here.
 * `symbols` collects the sizes of symbolic dimensions over all inputs of one request.
 * @throws GatewayError TENSOR_MISMATCH
 */
export function checkShape(spec: TensorSpec, shape: unknown, symbols: Symbols): readonly number[] {
  if (!Array.isArray(shape))
    throw mismatch(spec.name, `its shape is ${describe(shape)}`, `a list of sizes like ${wantedShape(spec)}`)
  const sizes = shape as readonly unknown[]
  const rank = spec.shape.length
  if (sizes.length > MAX_RANK || (rank > 0 && sizes.length !== rank)) {
    throw mismatch(
      spec.name,
      `its shape has ${sizes.length} dimensions`,
      `${rank > 0 ? rank : `at most ${MAX_RANK}`}: ${wantedShape(spec)}`,
    )
  }
  for (let i = 0; i < sizes.length; i++) checkSize(spec, i, sizes[i], symbols)
  checkEmpty(spec, sizes as readonly number[])
  return sizes as readonly number[]
}

function checkEmpty(spec: TensorSpec, sizes: readonly number[]): void {
  if (!sizes.includes(0)) return
  const others = sizes.reduce((product, size) => (size === 0 ? product : product * size), 1)
  if (others <= MAX_EMPTY_SIZE) return
  throw mismatch(
    spec.name,
    `its shape [${sizes.join(', ')}] has no elements`,
    `other sizes whose product is at most ${MAX_EMPTY_SIZE}`,
  )
}

function checkSize(spec: TensorSpec, dimension: number, size: unknown, symbols: Symbols): void {
  if (!Number.isSafeInteger(size) || (size as number) < 0) {
    throw mismatch(spec.name, `dimension ${dimension} of its shape is ${describe(size)}`, 'an integer of at least 0')
  }
  const wanted = spec.shape[dimension]
  if (wanted === undefined || wanted === -1 || wanted === size) return
  if (typeof wanted === 'number') {
    throw mismatch(
      spec.name,
      `dimension ${dimension} of its shape is ${describe(size)}`,
      `${wanted} for ${wantedShape(spec)}`,
    )
  }
  const known = symbols.get(wanted)
  if (known === undefined) symbols.set(wanted, { size: size as number, input: spec.name })
  else if (known.size !== size) {
    throw mismatch(
      spec.name,
      `dimension ${dimension} ('${wanted}') is ${describe(size)}`,
      `${known.size}, the size of '${wanted}' in input '${known.input}'`,
    )
  }
}

export function wantedShape({ shape }: TensorSpec): string {
  return `[${shortList(shape, (size) => printable(`${size}`))}]`
}
