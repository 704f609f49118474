/**
 * A compile of the smallest model there is, at the start of a compiler child: the engine sets itself up and Node compiles our own code
 * now rather than under the first customer, whom it would cost 30 ms.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { compile } from './compile-job.ts'
import { examine } from './examine-job.ts'
import { DIM, GRAPH, MODEL, NODE, OPSET_ID, SHAPE, TENSOR_TYPE, TYPE, VALUE_INFO } from './onnx-fields.ts'
import { bytesField, textField, varintField } from './wire-write.ts'

const IR_VERSION = 8
const OPSET = 17
const FLOAT = 1
const LIMITS = { maxNodes: 1, extraDomains: [] }

/** Works in `folder`, which it makes and takes away again. Whatever goes wrong here goes wrong again, and is told, with the first real job. */
export async function prime(folder: string): Promise<void> {
  try {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'model.onnx'), identityModel())
    const source = { dir: folder, modelFile: 'model.onnx', limits: LIMITS }
    const { files, bytes, signature } = examine({ ...source, allowHardLinks: false, allowOrt: false })
    await compile(
      {
        ...source,
        ...(signature === undefined ? {} : { signature }),
        cache: folder,
        artifact: 'prime',
        device: 'cpu',
        maxDeviation: 0,
        files,
        bytes,
        minBlobBytes: Number.MAX_SAFE_INTEGER,
        inlineLimitBytes: Number.MAX_SAFE_INTEGER,
        intraOpThreads: 1,
        warmUp: [],
        madeUp: 'drawn',
      },
      join(folder, 'staging'),
      () => {},
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** y = Identity(x), x of shape [N]. */
function identityModel(): Buffer {
  const shape = bytesField(SHAPE.dim, textField(DIM.symbol, 'N'))
  const tensorType = Buffer.concat([varintField(TENSOR_TYPE.elementType, FLOAT), bytesField(TENSOR_TYPE.shape, shape)])
  const value = (name: string) =>
    Buffer.concat([textField(VALUE_INFO.name, name), bytesField(VALUE_INFO.type, bytesField(TYPE.tensor, tensorType))])
  const node = Buffer.concat([
    textField(NODE.input, 'x'),
    textField(NODE.output, 'y'),
    textField(NODE.opType, 'Identity'),
  ])
  const graph = Buffer.concat([
    bytesField(GRAPH.node, node),
    textField(GRAPH.name, 'prime'),
    bytesField(GRAPH.input, value('x')),
    bytesField(GRAPH.output, value('y')),
  ])
  return Buffer.concat([
    varintField(MODEL.irVersion, IR_VERSION),
    bytesField(MODEL.graph, graph),
    bytesField(MODEL.opsetImport, varintField(OPSET_ID.version, OPSET)),
  ])
}
