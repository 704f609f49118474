/** Reads a graph's declared inputs and outputs into the words of the protocol, and refuses what it has no word for. */
import { printable } from '../domain/model-ref.ts'
import type { TensorSpec } from '../domain/tensor-types.ts'
import { datatypeOfOnnx } from '../domain/tensor-types.ts'
import { DIM, SHAPE, TENSOR_TYPE, TYPE, typeName, VALUE_INFO } from './onnx-fields.ts'
import { refusal } from './refusal.ts'
import type { ByteWindow } from './wire.ts'
import { FieldCursor, WIRE, WireError } from './wire.ts'

/** A declared value. `shape` is undefined where the model leaves even the rank open. */
export interface DeclaredValue {
  readonly name: string
  readonly kind: 'tensor' | 'sequence' | 'map' | 'optional' | 'sparse tensor' | 'opaque' | 'untyped'
  readonly elementType: number
  readonly shape: readonly (number | string)[] | undefined
}

const KINDS: Readonly<Record<number, DeclaredValue['kind']>> = {
  [TYPE.tensor]: 'tensor',
  [TYPE.sequence]: 'sequence',
  [TYPE.map]: 'map',
  [TYPE.opaque]: 'opaque',
  [TYPE.sparseTensor]: 'sparse tensor',
  [TYPE.optional]: 'optional',
}

/** No operator takes a tensor of more. */
const MAX_RANK = 64
/** Names and symbols travel with every description of the model, and with every answer. */
const MAX_NAME_LENGTH = 4_096

/** @throws WireError; GatewayError ARTIFACT_INVALID for what nobody could mean */
export function readValueInfo(window: ByteWindow, start: number, end: number): DeclaredValue {
  let value: DeclaredValue = { name: '', kind: 'untyped', elementType: 0, shape: undefined }
  const field = new FieldCursor(window, start, end)
  while (field.next()) {
    if (field.number === VALUE_INFO.name) value = { ...value, name: shortText(field) }
    else if (field.number === VALUE_INFO.type)
      value = { ...value, ...readType(window, field.expect(WIRE.bytes).payload, field.end) }
  }
  return value
}

function readType(window: ByteWindow, start: number, end: number): Omit<DeclaredValue, 'name'> {
  let type: Omit<DeclaredValue, 'name'> | undefined
  const field = new FieldCursor(window, start, end)
  while (field.next()) {
    const kind = KINDS[field.number]
    if (kind === undefined) continue
    // Other readers merge two, or take the last.
    if (type !== undefined) throw new WireError(`a second type of one value at byte ${field.start}`)
    type =
      kind === 'tensor'
        ? readTensorType(window, field.expect(WIRE.bytes).payload, field.end)
        : { kind, elementType: 0, shape: undefined }
  }
  return type ?? { kind: 'untyped', elementType: 0, shape: undefined }
}

function readTensorType(window: ByteWindow, start: number, end: number): Omit<DeclaredValue, 'name'> {
  let elementType = 0
  let shape: (number | string)[] | undefined
  const field = new FieldCursor(window, start, end)
  while (field.next()) {
    if (field.number === TENSOR_TYPE.elementType) elementType = field.int()
    else if (field.number === TENSOR_TYPE.shape && shape !== undefined)
      throw new WireError(`a second shape of one value at byte ${field.start}`)
    else if (field.number === TENSOR_TYPE.shape) shape = readShape(window, field.expect(WIRE.bytes).payload, field.end)
  }
  return { kind: 'tensor', elementType, shape }
}

function readShape(window: ByteWindow, start: number, end: number): (number | string)[] {
  const shape: (number | string)[] = []
  const field = new FieldCursor(window, start, end)
  while (field.next()) {
    if (field.number !== SHAPE.dim) continue
    if (shape.length === MAX_RANK)
      throw refusal(`a value of the model has more than ${MAX_RANK} dimensions; no operator takes one`)
    shape.push(readDim(window, field.expect(WIRE.bytes).payload, field.end))
  }
  return shape
}

/** A size, a symbol, or -1 where the model says neither. */
function readDim(window: ByteWindow, start: number, end: number): number | string {
  let dim: number | string = -1
  const field = new FieldCursor(window, start, end)
  while (field.next()) {
    if (field.number === DIM.value) dim = field.int() >= 0 ? field.value : -1
    else if (field.number === DIM.symbol) dim = shortText(field) === '' ? -1 : field.text()
  }
  return dim
}

function shortText(field: FieldCursor): string {
  const text = field.text()
  if (text.length <= MAX_NAME_LENGTH) return text
  throw refusal(`a name of ${text.length} characters in the model's inputs or outputs; the most is ${MAX_NAME_LENGTH}`)
}

/** @throws GatewayError ARTIFACT_INVALID when a request could not carry the input */
export function inputSpec(value: DeclaredValue): TensorSpec {
  const spec = specOf(value, 'input')
  if (value.shape === undefined)
    throw refusal(`input '${printable(value.name)}' declares no shape; export the model with one (symbols are fine)`)
  return spec
}

/** An output of open rank gets the shape [], until the engine has inferred more. @throws GatewayError ARTIFACT_INVALID */
export function outputSpec(value: DeclaredValue): TensorSpec {
  return specOf(value, 'output')
}

function specOf(value: DeclaredValue, role: 'input' | 'output'): TensorSpec {
  const name = printable(value.name)
  if (value.kind !== 'tensor') {
    const remedy =
      value.kind === 'sequence' || value.kind === 'map'
        ? '; convert with zipmap=False, or end the graph in a tensor'
        : ''
    throw refusal(
      `${role} '${name}' is ${value.kind === 'untyped' ? 'of no declared type' : `a ${value.kind}`}, and requests carry tensors only${remedy}`,
    )
  }
  const datatype = datatypeOfOnnx(value.elementType)
  if (datatype === undefined) {
    throw refusal(
      `${role} '${name}' is ${typeName(value.elementType)}, which the Open Inference Protocol has no datatype for; add a Cast to FLOAT or another type it has`,
    )
  }
  const shape = value.shape ?? []
  const endless = shape.find((size) => typeof size === 'number' && !Number.isSafeInteger(size))
  if (endless !== undefined)
    throw refusal(`${role} '${name}' declares a dimension of ${endless}, more than any tensor has`)
  return { name: value.name, datatype, shape }
}
