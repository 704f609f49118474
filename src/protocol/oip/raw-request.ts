/** A body that is the bytes of one tensor and nothing else: its shape follows from their number. */
import type { Tensor, TensorSpec } from '../../domain/tensor-types.ts'
import { DATATYPES, elementCount } from '../../domain/tensor-types.ts'
import { elementsFromBytes } from './raw-data.ts'
import { wantedShape } from './shapes.ts'
import { badRequest, mismatch } from './tensor-errors.ts'

/**
 * The model must have one input. One free dimension is worked out from the number of bytes; of two, the first counts rows and is 1.
 * A BYTES tensor has one element. @throws GatewayError BAD_REQUEST, TENSOR_MISMATCH
 */
export function readRawInput(inputs: readonly TensorSpec[], body: Buffer): Tensor {
  const [spec, ...others] = inputs
  if (spec === undefined || others.length > 0) {
    throw badRequest(
      `a body of raw tensor bytes needs a model with one input, this one has ${inputs.length}; send JSON with binary data`,
    )
  }
  const shape = shapeOf(spec, body.length)
  const data = elementsFromBytes(
    spec.name,
    spec.datatype,
    elementCount(shape),
    spec.datatype === 'BYTES' ? oneElement(body) : body,
  )
  return { name: spec.name, datatype: spec.datatype, shape, data }
}

function shapeOf(spec: TensorSpec, bodyBytes: number): readonly number[] {
  const { name, datatype, shape } = spec
  if (datatype === 'BYTES') return shape.map((size) => (typeof size === 'number' && size !== -1 ? size : 1))
  const free = shape.flatMap((size, dimension) => (typeof size === 'number' && size !== -1 ? [] : [dimension]))
  const rowsAreOne = free.length === 2 && free[0] === 0
  const open = rowsAreOne ? free[1] : free[0]
  if (free.length > (rowsAreOne ? 2 : 1)) {
    throw badRequest(
      `a body of raw tensor bytes leaves the shape ${wantedShape(spec)} of input '${name}' open; send JSON with binary data`,
    )
  }
  const fixed = elementCount(shape.map((size) => (typeof size === 'number' && size !== -1 ? size : 1)))
  const elements = bodyBytes / DATATYPES[datatype].bytes
  if (open !== undefined && (fixed === 0 || !Number.isInteger(elements / fixed))) {
    throw mismatch(
      name,
      `the body has ${bodyBytes} bytes`,
      `a multiple of ${fixed * DATATYPES[datatype].bytes} for ${datatype} of shape ${wantedShape(spec)}`,
    )
  }
  return shape.map((size, dimension) => {
    if (dimension === open) return elements / fixed
    return typeof size === 'number' && size !== -1 ? size : 1
  })
}

/** A raw BYTES body has no length in front: the whole body is the element. */
function oneElement(body: Buffer): Buffer {
  const length = Buffer.allocUnsafe(4)
  length.writeUInt32LE(body.length)
  return Buffer.concat([length, body])
}
