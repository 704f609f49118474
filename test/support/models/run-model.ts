/**
 * Opens a model straight in ONNX Runtime and runs it once: the judge that the zoo's own answers are held against.
 * Bypasses the product on purpose; sessions are released before the answer is returned.
 */
import type { InferenceSession, Tensor } from 'onnxruntime-node'
import type { NamedTensor } from '../../../loadtest/models/index.ts'
import type { Datatype } from '../../../src/domain/tensor-types.ts'
import { DATATYPES } from '../../../src/domain/tensor-types.ts'
import { OrtTensor, ortSessions } from './onnx-runtime.ts'

/** Nothing of the engine's own log: refused models are part of the tests. */
const SESSION_OPTIONS: InferenceSession.SessionOptions = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  enableCpuMemArena: false,
  logSeverityLevel: 4,
}

/** `model`: a file path or the file's bytes. Rejects with ONNX Runtime's own error when it cannot be opened or run. */
export async function runModel(model: string | Uint8Array, inputs: readonly NamedTensor[]): Promise<NamedTensor[]> {
  const session = await openModel(model)
  try {
    const feeds = Object.fromEntries(inputs.map((input) => [input.name, toOrt(input)]))
    const outputs = await session.run(feeds)
    return Object.entries(outputs).map(([name, tensor]) => fromOrt(name, tensor))
  } finally {
    await session.release()
  }
}

/** A session with plain options; the caller releases it. */
export function openModel(model: string | Uint8Array): Promise<InferenceSession> {
  if (typeof model === 'string') return ortSessions.create(model, SESSION_OPTIONS)
  return ortSessions.create(model, SESSION_OPTIONS)
}

export function toOrt({ datatype, shape, data }: NamedTensor): Tensor {
  return new OrtTensor(DATATYPES[datatype].ort, data, shape)
}

function fromOrt(name: string, tensor: Tensor): NamedTensor {
  const found = Object.entries(DATATYPES).find(([, row]) => row.ort === tensor.type)
  if (found === undefined) throw new Error(`output ${name} has type ${tensor.type}, which no datatype has`)
  return { name, datatype: found[0] as Datatype, shape: tensor.dims, data: tensor.data }
}
