/** What can be told of ONNX Runtime without loading it. */
import { createRequire } from 'node:module'

/** Version of the installed package, which is that of its native library. */
export const ortPackageVersion: string = (
  createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string }
).version
