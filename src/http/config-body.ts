/** A model's configuration in the words of Triton's model configuration extension, as its clients and tools read it. */
import type { Datatype, TensorSpec } from '../domain/tensor-types.ts'
import type { ModelMetadata } from '../routing/gateway.ts'

const MICROSECONDS_PER_MS = 1000

export interface ConfigBody {
  readonly name: string
  readonly platform: 'onnxruntime_onnx'
  readonly backend: 'onnxruntime'
  readonly version_policy: { readonly all: object }
  /** Rows stacked at most; 0 while requests are not stacked. Where it is not 0, `dims` leave dimension 0 out. */
  readonly max_batch_size: number
  readonly input: readonly ConfigTensor[]
  readonly output: readonly ConfigTensor[]
  readonly instance_group: readonly object[]
  readonly default_model_filename: string
  readonly dynamic_batching?: { readonly max_queue_delay_microseconds: number }
  readonly parameters: Readonly<Record<string, { readonly string_value: string }>>
}

export interface ConfigTensor {
  readonly name: string
  readonly data_type: string
  /** -1 for a dimension that varies. */
  readonly dims: readonly number[]
}

export function configBody({ name, version, signature, artifact, settings, gpu }: ModelMetadata): ConfigBody {
  const { batching, intraOpThreads, modelFile } = settings
  const isStacked = batching.mode === 'auto' && artifact?.isBatchSafe === true
  return {
    name,
    platform: 'onnxruntime_onnx',
    backend: 'onnxruntime',
    version_policy: { all: {} },
    max_batch_size: isStacked ? batching.maxRows : 0,
    input: signature.inputs.map((spec) => configTensor(spec, isStacked)),
    output: signature.outputs.map((spec) => configTensor(spec, isStacked)),
    instance_group: [
      {
        name,
        kind: gpu === undefined ? 'KIND_CPU' : 'KIND_GPU',
        count: 1,
        gpus: gpu === undefined ? [] : [gpu],
        passive: false,
      },
    ],
    default_model_filename: modelFile,
    ...(isStacked && {
      dynamic_batching: { max_queue_delay_microseconds: Math.round(batching.maxDelayMs * MICROSECONDS_PER_MS) },
    }),
    parameters: { version: { string_value: version }, intra_op_threads: { string_value: String(intraOpThreads) } },
  }
}

function configTensor({ name, datatype, shape }: TensorSpec, isStacked: boolean): ConfigTensor {
  const dims = shape.map((size) => (typeof size === 'number' ? size : -1))
  return { name, data_type: typeOf(datatype), dims: isStacked ? dims.slice(1) : dims }
}

/** The configuration's word for BYTES is another than the protocol's. */
function typeOf(datatype: Datatype): string {
  return `TYPE_${datatype === 'BYTES' ? 'STRING' : datatype}`
}
