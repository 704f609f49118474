/**
 * How many nodes a model has once its functions are written out in place of their calls, as the engine does before anything else:
 * thirty functions that call one another twice are a file of three kilobytes and a graph of a billion nodes.
 */
import { printable } from '../domain/model-ref.ts'
import { refusal } from './refusal.ts'

/** Of one body: operator, as `domain:name`, to the number of its nodes. */
export type Calls = Map<string, number>

/** Functions call each other at most so deep. */
const MAX_DEPTH = 64

export class FunctionCalls {
  readonly #bodies = new Map<string, Calls>()

  /** Notes a function and what its body calls, subgraphs included. */
  add(name: string, calls: Calls): void {
    this.#bodies.set(name, calls)
  }

  has(name: string): boolean {
    return this.#bodies.has(name)
  }

  /** @throws GatewayError ARTIFACT_INVALID when `main` has more than `maxNodes` nodes with every call written out, or never ends */
  check(main: Calls, maxNodes: number): void {
    const nodes = this.#nodesOf(main, new Map(), 0)
    if (nodes <= maxNodes) return
    throw refusal(
      `the model has ${nodes} nodes once its functions are written out, more than ${maxNodes}; raise artifact.maxNodes if that is meant`,
    )
  }

  #nodesOf(calls: Calls, known: Map<string, number | 'under way'>, depth: number): number {
    if (depth > MAX_DEPTH)
      throw refusal(`the model's functions call each other more than ${MAX_DEPTH} levels deep; simplify it`)
    let nodes = 0
    for (const [name, count] of calls) nodes += count * this.#nodesOfCall(name, known, depth)
    return nodes
  }

  #nodesOfCall(name: string, known: Map<string, number | 'under way'>, depth: number): number {
    const body = this.#bodies.get(name)
    if (body === undefined) return 1
    const size = known.get(name)
    if (size === 'under way')
      throw refusal(`the model's function ${printable(name)} calls itself, which ONNX does not allow`)
    if (size !== undefined) return size
    known.set(name, 'under way')
    const nodes = this.#nodesOf(body, known, depth + 1)
    known.set(name, nodes)
    return nodes
  }
}
