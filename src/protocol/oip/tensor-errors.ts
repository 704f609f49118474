/** The refusals of a request's tensors, each naming the tensor, what came and what is wanted. */
import { GatewayError } from '../../domain/errors.ts'
import { printable } from '../../domain/model-ref.ts'

const SHOWN_CHARACTERS = 40
/** Names come from model files, which may hold thousands. */
const SHOWN_NAMES = 20

export function badRequest(message: string): GatewayError {
  return new GatewayError('BAD_REQUEST', message)
}

export function mismatch(input: string, came: string, wanted: string): GatewayError {
  const name = printable(input)
  return new GatewayError('TENSOR_MISMATCH', `input '${name}': ${came}; wanted ${wanted}`, { details: { input: name } })
}

/** `index`: position of the element in row-major order. */
export function badValue(input: string, index: number, value: unknown, wanted: string): GatewayError {
  const name = printable(input)
  const message = `input '${name}': element ${index} is ${describe(value)}; wanted ${wanted}`
  return new GatewayError('BAD_INPUT_VALUE', message, { details: { input: name } })
}

export function unsupported(message: string): GatewayError {
  return new GatewayError('UNSUPPORTED', message)
}

/** A value of the caller's JSON, short and on one line. Never descends: it may be nested 100,000 deep. */
export function describe(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  if (value === undefined) return 'missing'
  if (value === null) return 'null'
  if (typeof value === 'object') return 'an object'
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return `${value}`
  if (typeof value !== 'string') return `a ${typeof value}`
  return `"${printable(value.length > SHOWN_CHARACTERS ? `${value.slice(0, SHOWN_CHARACTERS)}…` : value)}"`
}

export function listNames(names: readonly string[]): string {
  return shortList(names, (name) => `'${printable(name)}'`)
}

/** The first of them, and how many more there are. */
export function shortList<T>(items: readonly T[], show: (item: T) => string): string {
  const shown = items.slice(0, SHOWN_NAMES).map(show).join(', ')
  return items.length > SHOWN_NAMES ? `${shown} and ${items.length - SHOWN_NAMES} more` : shown
}

export function mismatchedOutput(output: string, names: string): GatewayError {
  return new GatewayError(
    'TENSOR_MISMATCH',
    `output '${printable(output)}': the model has no such output; wanted ${names}`,
  )
}
