/**
 * Puts a graph together node by node, naming values that nobody asked a name for.
 * Keeps no copy of weights and checks nothing: order of calls is the order in the file.
 */
import type { DataType, Dim, OnnxAttribute, OnnxGraph, OnnxNode, OnnxTensor, OnnxValue } from './onnx-model.ts'
import { DATA_TYPE, rawTensor } from './onnx-model.ts'

export interface NodeOptions {
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>
  readonly domain?: string
  /** Names of the outputs; one made-up name when absent. */
  readonly outputs?: readonly string[]
}

export class GraphBuilder {
  readonly #name: string
  readonly #nodes: OnnxNode[] = []
  readonly #initializers: OnnxTensor[] = []
  readonly #inputs: OnnxValue[] = []
  readonly #outputs: OnnxValue[] = []

  /** `name` also prefixes made-up value names, so that a body's names never meet those of the graph around it. */
  constructor(name: string) {
    this.#name = name
  }

  input(name: string, dataType: DataType, dims: readonly Dim[]): string {
    this.#inputs.push({ name, dataType, dims })
    return name
  }

  /** Declares a value that some node gives as an output of the graph. */
  output(name: string, dataType: DataType, dims: readonly Dim[]): void {
    this.#outputs.push({ name, dataType, dims })
  }

  initializer(tensor: OnnxTensor): string {
    this.#initializers.push(tensor)
    return tensor.name
  }

  /** A float32 initializer. */
  weights(name: string, dims: readonly number[], values: Float32Array): string {
    return this.initializer(rawTensor(name, DATA_TYPE.FLOAT, dims, values))
  }

  /** A float32 scalar initializer. */
  scalar(name: string, value: number): string {
    return this.weights(name, [], Float32Array.of(value))
  }

  /** A one-dimensional int64 initializer, as shapes and axes are given. */
  int64s(name: string, values: readonly number[]): string {
    return this.initializer(rawTensor(name, DATA_TYPE.INT64, [values.length], BigInt64Array.from(values, BigInt)))
  }

  /** Adds a node and gives the name of its first output. An input named '' is an absent optional one. */
  node(opType: string, inputs: readonly string[], options: NodeOptions = {}): string {
    const name = `${this.#name}/${opType}_${this.#nodes.length}`
    const outputs = options.outputs ?? [`${name}:0`]
    this.#nodes.push({ name, opType, inputs, outputs, ...pick(options) })
    return outputs[0] ?? ''
  }

  finish(): OnnxGraph {
    return {
      name: this.#name,
      nodes: this.#nodes,
      initializers: this.#initializers,
      inputs: this.#inputs,
      outputs: this.#outputs,
    }
  }
}

function pick({ attributes, domain }: NodeOptions): Pick<OnnxNode, 'attributes' | 'domain'> {
  return { ...(attributes === undefined ? {} : { attributes }), ...(domain === undefined ? {} : { domain }) }
}
