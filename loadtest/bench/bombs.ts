/** The bombs of the hostile tenant: files that are bombs, and good-looking files of which one request is. `index` makes each another one. */
import { type InferBody, inferBody } from '../generator/infer-request.ts'
import { modelBytes } from '../models/index.ts'
import {
  constantOfShapeBomb,
  crashing,
  epContext,
  overflowingDims,
  poisonInputs,
  truncated,
  unknownOperator,
} from '../models/special/index.ts'

export interface FileBomb {
  readonly name: string
  readonly bytes: (index: number) => Uint8Array
}

export interface RunBomb {
  readonly name: string
  readonly bytes: () => Uint8Array
  readonly body: (index: number) => InferBody
}

const GIB_OF_FLOATS = 2 ** 28

export const FILE_BOMBS: readonly FileBomb[] = [
  { name: 'a gibibyte out of 144 bytes', bytes: (index) => modelBytes(constantOfShapeBomb(GIB_OF_FLOATS + index)) },
  { name: 'half a file', bytes: (index) => truncated(modelBytes(constantOfShapeBomb(index))) },
  { name: 'a compiled cache elsewhere', bytes: (index) => modelBytes(epContext(`../cache-${index}.bin`)) },
  { name: 'dimensions that overflow', bytes: () => modelBytes(overflowingDims()) },
  { name: 'an operator that nobody has', bytes: () => modelBytes(unknownOperator()) },
]

export const RUN_BOMBS: readonly RunBomb[] = [
  {
    name: 'a run that kills its process',
    bytes: () => modelBytes(crashing().model),
    body: (index) => inferBody(poisonInputs(index), 'json'),
  },
]

/** Sent to every file bomb; whether it fits the model is not the question. */
export function fileBombBody(): InferBody {
  return inferBody([{ name: 'x', shape: [1, 1], datatype: 'FP32', data: new Float32Array(1) }], 'json')
}
