/** The door to ONNX Runtime: the only module that imports it, and the workaround that has to come first. */
import { isFloat16ArrayGone } from './no-float16-array.ts'

// The order of the imports is the order in which they are evaluated; this comment also keeps the formatter from sorting them.

import { env, InferenceSession, Tensor } from 'onnxruntime-node'

if (!isFloat16ArrayGone) throw new Error('Float16Array cannot be taken away, and FP16 tensors would fail with it')

// Of the library as a whole; sessions set their own. Whatever is worth knowing comes back as an exception.
env.logLevel = 'error'

/** Version of the native library: part of every artifact's fingerprint. */
export const ortVersion: string = env.versions.node ?? env.versions.common

export { InferenceSession, Tensor as OrtTensor }
export type SessionOptions = InferenceSession.SessionOptions
