/** The example of its inputs that MLflow keeps beside a model, in the forms that MLflow's scoring servers take. */

/** What is longer would be kept in memory for each of many models, and is none to check a model with. */
export const EXAMPLE_MAX_BYTES = 64 * 1024

/**
 * As a warm-up request: `inputs` or `dataframe_split`. Whether it fits the model is seen where the model is known.
 * @throws Error for what is no example
 */
export function parseExample(text: string): unknown {
  const value: unknown = JSON.parse(text)
  if (typeof value !== 'object' || value === null) throw new Error('it holds no tensors')
  if ('inputs' in value) return { inputs: value.inputs }
  if ('dataframe_split' in value) return { dataframe_split: value.dataframe_split }
  // As servers of before MLflow 2.16 have them, with the data alone.
  if ('columns' in value && 'data' in value) return { dataframe_split: value }
  return { inputs: value }
}
