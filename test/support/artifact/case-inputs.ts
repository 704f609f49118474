/** Reads what `onnx-backend-cases.py` wrote. */
import { readFileSync } from 'node:fs'
import type { Datatype, Tensor, TensorData } from '../../../src/domain/tensor-types.ts'

interface WrittenTensor {
  readonly name: string
  readonly datatype: Datatype
  readonly shape: readonly number[]
  readonly data: string | readonly string[]
}

const ARRAYS = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const

/** Inputs of each data set; undefined when one of them is no tensor of the protocol. */
export function readCaseInputs(path: string): readonly (readonly Tensor[])[] | undefined {
  const sets = JSON.parse(readFileSync(path, 'utf8')) as readonly (readonly (WrittenTensor | null)[])[]
  const read = sets.map((set) => set.map((tensor) => (tensor === null ? undefined : toTensor(tensor))))
  return read.every((set): set is Tensor[] => set.every((tensor) => tensor !== undefined)) ? read : undefined
}

function toTensor({ name, datatype, shape, data }: WrittenTensor): Tensor {
  return { name, datatype, shape, data: toData(datatype, data) }
}

function toData(datatype: Datatype, data: string | readonly string[]): TensorData {
  if (datatype === 'BYTES' || typeof data !== 'string') return typeof data === 'string' ? [data] : data
  const bytes = Buffer.from(data, 'base64')
  // Into memory of its own: typed arrays want aligned offsets, which a pooled buffer has not.
  const own = new Uint8Array(bytes)
  return new ARRAYS[datatype](own.buffer)
}
