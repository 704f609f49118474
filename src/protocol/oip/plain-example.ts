/**
 * Examples as MLflow writes them, which name neither datatypes nor shapes, as inference requests. A model's signature says what is missing.
 *
 *   {"inputs": [[1, 2], [3, 4]]}                                     the one input of the model
 *   {"inputs": {"x": [[1, 2]], "y": [3]}}                            by the names of inputs
 *   {"dataframe_split": {"columns": ["x", "y"], "data": [[1, 2]]}}   a table: a column an input, or all of it the one input
 */
import type { Signature, TensorSpec } from '../../domain/tensor-types.ts'

const MAX_RANK = 16

/** What is no such example is given back as it is: whoever reads it says what is wrong with it. */
export function asInferenceRequest(request: unknown, { inputs }: Signature): unknown {
  if (!isObject(request)) return request
  const given = request.inputs ?? columnsOf(request.dataframe_split, inputs)
  if (given === undefined || isRequest(given)) return request
  const [only] = inputs
  if (isObject(given) && !Array.isArray(given)) {
    return {
      inputs: inputs.flatMap((input) => (Object.hasOwn(given, input.name) ? [tensor(input, given[input.name])] : [])),
    }
  }
  return only === undefined || inputs.length > 1 ? request : { inputs: [tensor(only, given)] }
}

/** Inference requests list tensors, which are objects. */
function isRequest(inputs: unknown): boolean {
  return Array.isArray(inputs) && (inputs.length === 0 || (isObject(inputs[0]) && !Array.isArray(inputs[0])))
}

function tensor({ name, datatype }: TensorSpec, data: unknown): unknown {
  const shape: number[] = []
  for (let at = data; Array.isArray(at) && shape.length < MAX_RANK; at = at[0] as unknown) shape.push(at.length)
  return { name, datatype, shape, data: Array.isArray(data) ? data : [data] }
}

function columnsOf(table: unknown, inputs: readonly TensorSpec[]): unknown {
  if (!isObject(table) || !Array.isArray(table.columns) || !Array.isArray(table.data)) return undefined
  const { columns, data } = table as { readonly columns: readonly unknown[]; readonly data: readonly unknown[] }
  if (!inputs.every(({ name }) => columns.includes(name))) return data
  return Object.fromEntries(
    inputs.map(({ name, shape }) => {
      const column = columns.indexOf(name)
      const values = data.map((row): unknown => (Array.isArray(row) ? row[column] : undefined))
      return [
        name,
        shape.length === 2 ? values.map((value): unknown => (Array.isArray(value) ? value : [value])) : values,
      ]
    }),
  )
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
