/** A `curl` line that works as pasted, and what the server must answer to it, from the customer's own weights. */
import { type ModelClass, modelName, type NamedTensor, type Recipe } from '../models/index.ts'

export interface CurlLine {
  readonly model: string
  readonly command: string
  /** Output `scores` of the answer. */
  readonly expected: readonly number[]
}

/** Tenths from -1 to 1 in a pattern, so that the line stays short enough to read. */
const STEPS = 21
const STRIDE = 8

/** The model is named in the header alone, as clients of one endpoint do it. `url` without a slash at its end. */
export function curlLine(url: string, zooClass: ModelClass, recipe: Recipe, width: number): CurlLine {
  const data = Float32Array.from({ length: width }, (_, i) => (((i * STRIDE) % STEPS) - 10) / 10)
  const inputs: NamedTensor[] = [{ name: 'features', datatype: 'FP32', shape: [1, width], data }]
  const numbers = Array.from(data, (value) => Number(value.toFixed(1)))
  const body = JSON.stringify({ inputs: [{ name: 'features', datatype: 'FP32', shape: [1, width], data: numbers }] })
  const model = modelName(recipe.customer)
  const [scores] = zooClass.expected(recipe, inputs)
  return {
    model,
    command: `curl -s ${url}/v2/infer -H 'serve_multiplexed_model_id: ${model}' -d '${body}'`,
    expected: Array.from((scores?.data ?? []) as ArrayLike<number>, (value) => Number(value.toPrecision(5))),
  }
}
