/** Metadata and statistics of models in the words of the Open Inference Protocol and of Triton's statistics extension. */
import type { TensorSpec } from '../domain/tensor-types.ts'
import type { ModelMetadata, ModelStatistics, Tally } from '../routing/gateway.ts'

export interface TensorBody {
  readonly name: string
  readonly datatype: string
  /** -1 for a dimension that varies. */
  readonly shape: readonly number[]
}

export interface MetadataBody {
  readonly name: string
  readonly versions: readonly string[]
  readonly platform: 'onnxruntime_onnx'
  readonly inputs: readonly TensorBody[]
  readonly outputs: readonly TensorBody[]
  /** Text only, as the protocol wants it. */
  readonly properties: Readonly<Record<string, string>>
}

export function metadataBody(metadata: ModelMetadata): MetadataBody {
  return {
    name: metadata.name,
    versions: metadata.versions,
    platform: 'onnxruntime_onnx',
    inputs: metadata.signature.inputs.map(tensorBody),
    outputs: metadata.signature.outputs.map(tensorBody),
    properties: propertiesOf(metadata),
  }
}

export function statisticsBody(statistics: readonly ModelStatistics[]): { model_stats: readonly object[] } {
  return { model_stats: statistics.map(statisticsRow) }
}

function tensorBody({ name, datatype, shape }: TensorSpec): TensorBody {
  return { name, datatype, shape: shape.map((size) => (typeof size === 'number' ? size : -1)) }
}

function propertiesOf({ version, aliases, artifact }: ModelMetadata): Record<string, string> {
  const properties: Record<string, string> = { version }
  for (const [alias, target] of Object.entries(aliases)) properties[`alias.${alias}`] = target
  if (artifact === undefined) return properties
  const { form, plainReason, isBatchSafe, batchReason } = artifact
  properties.form = form
  if (plainReason !== undefined) properties.plain_reason = plainReason
  if (isBatchSafe !== undefined) properties.batch_safe = String(isBatchSafe)
  if (batchReason !== undefined) properties.batch_reason = batchReason
  return properties
}

function statisticsRow(row: ModelStatistics): object {
  return {
    name: row.name,
    version: row.version,
    last_inference: row.lastInferenceMs,
    inference_count: row.inferenceCount,
    execution_count: row.executionCount,
    inference_stats: {
      success: tally(row.success),
      fail: tally(row.fail),
      queue: tally(row.queue),
      compute_input: tally(row.computeInput),
      compute_infer: tally(row.computeInfer),
      compute_output: tally(row.computeOutput),
      cache_hit: tally(row.cacheHit),
      cache_miss: tally(row.cacheMiss),
    },
    batch_stats: row.batches.map((batch) => ({
      batch_size: batch.batchRows,
      compute_input: tally(batch.computeInput),
      compute_infer: tally(batch.computeInfer),
      compute_output: tally(batch.computeOutput),
    })),
    memory_usage: row.memory.map(({ type, id, bytes }) => ({ type, id, byte_size: bytes })),
  }
}

function tally({ count, ns }: Tally): { count: number; ns: number } {
  return { count, ns: Math.round(ns) }
}
