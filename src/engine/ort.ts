/** The door to ONNX Runtime: the only module that imports it, and the workaround that has to come first. */
import './no-float16-array.ts'
import { env, InferenceSession, Tensor } from 'onnxruntime-node'

// Of the library as a whole; sessions set their own. Whatever is worth knowing comes back as an exception.
env.logLevel = 'error'

/** Version of the native library: part of every artifact's fingerprint. */
export const ortVersion: string = env.versions.node ?? env.versions.common

export { InferenceSession, Tensor as OrtTensor }
export type SessionOptions = InferenceSession.SessionOptions
