/**
 * Walks a model's structure without its weights: what it takes and gives, which operators it needs, where its data lies. Refuses
 * what is no ONNX, is cut or contradicts itself, reaches outside its folder, runs native code, or is newer than the engine.
 * That a model passes says nothing about the memory it will want: compiling and running stay under a cap.
 */
import { printable } from '../domain/model-ref.ts'
import type { Signature, TensorSpec } from '../domain/tensor-types.ts'
import type { ExternalFiles } from './external-files.ts'
import {
  ATTRIBUTE,
  FUNCTION,
  GRAPH,
  MAX_IR_VERSION,
  MAX_OPSETS,
  MODEL,
  NODE,
  OPSET_ID,
  RUNTIME_DOMAINS,
  SPARSE_TENSOR,
} from './onnx-fields.ts'
import { refusal } from './refusal.ts'
import type { Calls } from './walk-calls.ts'
import { FunctionCalls } from './walk-calls.ts'
import type { NodeFacts } from './walk-node.ts'
import { HazardCollector, isSuspect } from './walk-node.ts'
import type { DeclaredValue } from './walk-signature.ts'
import { inputSpec, outputSpec, readValueInfo } from './walk-signature.ts'
import type { TensorHeader } from './walk-tensor.ts'
import { constantInts, readTensor } from './walk-tensor.ts'
import type { ByteWindow } from './wire.ts'
import { FieldCursor, packedVarints, WIRE, WireError } from './wire.ts'

const MAX_NESTING = 64
/** Values that one graph declares, and that one node takes and gives: the engine's time grows with the square of either. */
const MAX_DECLARED = 4_096
const MAX_ARITY = 16_384

export interface WalkLimits {
  /** Nodes of all graphs and functions together, as they stand in the file and with functions written out where they are called. */
  readonly maxNodes: number
  /** Operator domains beyond the engine's own. */
  readonly extraDomains: readonly string[]
}

export interface ModelFacts {
  readonly signature: Signature
  readonly irVersion: number
  readonly opsets: Readonly<Record<string, number>>
  /** `domain:operator` (`operator` alone for ONNX's own) to the number of nodes, functions' bodies included. */
  readonly operators: Readonly<Record<string, number>>
  readonly nodes: number
  /** Are there graphs within the graph: bodies of If, Loop or Scan? */
  readonly hasBodies: boolean
  /** Bytes of all stored tensors in raw form, external ones included. */
  readonly tensorBytes: number
  /** Why rows of a batch may depend on each other; empty: nothing speaks against stacking. */
  readonly batchHazards: readonly string[]
}

/** Judges where tensors say that their values lie. */
type ExternalCheck = Pick<ExternalFiles, 'check'>

/** @throws GatewayError ARTIFACT_INVALID */
export function walkModel(window: ByteWindow, files: ExternalCheck, limits: WalkLimits): ModelFacts {
  try {
    return new ModelWalk(window, files, limits).walk()
  } catch (error) {
    // A RangeError is a read outside of what is there, which no check above foresaw: the file's fault as well.
    if (!(error instanceof WireError) && !(error instanceof RangeError)) throw error
    throw refusal(
      `the file is not a whole ONNX model: ${error.message}; it may be cut, or something else than ONNX`,
      undefined,
      error,
    )
  }
}

/** Names and constants of the graph under way, and of those around it for look-ups. */
interface GraphScope {
  /** The graph around it; none around the main graph and functions. */
  readonly outer: GraphScope | undefined
  readonly nodes: NodeFacts[]
  /** Of the main graph or function that this graph is a part of. */
  readonly calls: Calls
  readonly constants: Map<string, readonly number[]>
  readonly initializers: Set<string>
  readonly inputs: DeclaredValue[]
  readonly outputs: DeclaredValue[]
}

class ModelWalk {
  readonly #window: ByteWindow
  readonly #files: ExternalCheck
  readonly #limits: WalkLimits
  readonly #operators = new Map<string, number>()
  readonly #functions = new FunctionCalls()
  readonly #hazards = new HazardCollector()
  #nodes = 0
  #tensorBytes = 0
  #hasBodies = false

  constructor(window: ByteWindow, files: ExternalCheck, limits: WalkLimits) {
    this.#window = window
    this.#files = files
    this.#limits = limits
  }

  walk(): ModelFacts {
    let irVersion = 0
    let graph: GraphScope | undefined
    const opsets = new Map<string, number>()
    const field = new FieldCursor(this.#window, 0, this.#window.size)
    while (field.next()) {
      if (field.number === MODEL.irVersion) irVersion = field.int()
      else if (field.number === MODEL.graph) {
        if (graph !== undefined) throw repeated('graph', field)
        graph = this.#graph(field, 1, undefined)
      } else if (field.number === MODEL.opsetImport) this.#opset(field, opsets)
      else if (field.number === MODEL.functions) this.#function(field)
    }
    if (graph === undefined || irVersion === 0 || opsets.size === 0) {
      const missing = graph === undefined ? 'graph' : irVersion === 0 ? 'ir_version' : 'opset_import'
      throw refusal(`the file is not an ONNX model: it has no ${missing}`)
    }
    checkVersions(irVersion, opsets)
    this.#checkDomains()
    this.#functions.check(graph.calls, this.#limits.maxNodes)
    return {
      signature: signatureOf(graph),
      irVersion,
      opsets: Object.fromEntries(opsets),
      operators: Object.fromEntries(this.#operators),
      nodes: this.#nodes,
      hasBodies: this.#hasBodies,
      tensorBytes: this.#tensorBytes,
      batchHazards: this.#hazards.hazards,
    }
  }

  #opset(of: FieldCursor, opsets: Map<string, number>): void {
    let domain = ''
    let version = 0
    const field = this.#message(of)
    while (field.next()) {
      if (field.number === OPSET_ID.domain) domain = field.text()
      else if (field.number === OPSET_ID.version) version = field.int()
    }
    opsets.set(domain, version)
  }

  /** The fields of the message that is the current field. @throws WireError */
  #message(of: FieldCursor): FieldCursor {
    of.expect(WIRE.bytes)
    return new FieldCursor(this.#window, of.payload, of.end)
  }

  #function(of: FieldCursor): void {
    let name = ''
    let domain = ''
    const scope = emptyScope(undefined)
    const field = this.#message(of)
    while (field.next()) {
      if (field.number === FUNCTION.name) name = field.text()
      else if (field.number === FUNCTION.domain) domain = field.text()
      else if (field.number === FUNCTION.node) this.#node(field, 2, scope)
      // Defaults of the function's attributes, which may be tensors and graphs too.
      else if (field.number === FUNCTION.attribute) this.#attribute(field, 3, emptyNode(), '', scope)
    }
    this.#functions.add(operatorName(domain, name), scope.calls)
    this.#judge(scope)
  }

  #graph(of: FieldCursor, depth: number, outer: GraphScope | undefined): GraphScope {
    if (depth > 1) this.#hasBodies = true
    if (depth > MAX_NESTING) throw refusal(`the model nests graphs deeper than ${MAX_NESTING} messages; simplify it`)
    const scope = emptyScope(outer)
    const field = this.#message(of)
    while (field.next()) {
      switch (field.number) {
        case GRAPH.node:
          this.#node(field, depth + 1, scope)
          break
        case GRAPH.initializer: {
          const tensor = this.#tensor(field)
          scope.initializers.add(tensor.name)
          this.#remember(tensor.name, tensor, scope)
          break
        }
        case GRAPH.sparseInitializer:
          scope.initializers.add(this.#sparseTensor(field))
          break
        case GRAPH.input:
          this.#declare(field, scope.inputs, 'inputs')
          break
        case GRAPH.output:
          this.#declare(field, scope.outputs, 'outputs')
          break
      }
    }
    this.#judge(scope)
    return scope
  }

  #declare(of: FieldCursor, into: DeclaredValue[], what: 'inputs' | 'outputs'): void {
    if (into.length === MAX_DECLARED)
      throw refusal(`a graph of the model has more than ${MAX_DECLARED} ${what}; join them into fewer tensors`)
    into.push(readValueInfo(this.#window, of.expect(WIRE.bytes).payload, of.end))
  }

  #node(of: FieldCursor, depth: number, scope: GraphScope): void {
    this.#nodes++
    if (this.#nodes > this.#limits.maxNodes)
      throw refusal(`the model has more than ${this.#limits.maxNodes} nodes; raise artifact.maxNodes if that is meant`)
    const node = emptyNode()
    let output = ''
    let arity = 0
    const field = this.#message(of)
    while (field.next()) {
      if ((field.number === NODE.input || field.number === NODE.output) && ++arity > MAX_ARITY)
        throw refusal(`a node of the model has more than ${MAX_ARITY} inputs and outputs; join them in several steps`)
      if (field.number === NODE.input) node.inputs.push(field.text())
      else if (field.number === NODE.output && output === '') output = field.text()
      else if (field.number === NODE.opType) node.opType = field.text()
      else if (field.number === NODE.domain) node.domain = field.text()
      else if (field.number === NODE.attribute) this.#attribute(field, depth + 1, node, output, scope)
    }
    const name = operatorName(node.domain, node.opType)
    this.#operators.set(name, (this.#operators.get(name) ?? 0) + 1)
    scope.calls.set(name, (scope.calls.get(name) ?? 0) + 1)
    // Kept until the graph's constants are known; a model of a million ordinary nodes keeps none.
    if (isSuspect(node)) scope.nodes.push(node)
  }

  #attribute(of: FieldCursor, depth: number, node: NodeFacts, output: string, scope: GraphScope): void {
    let name = ''
    let int: number | undefined
    const ints: number[] = []
    const seen = new Set<number>()
    const field = this.#message(of)
    while (field.next()) {
      switch (field.number) {
        case ATTRIBUTE.name:
          name = field.text()
          break
        case ATTRIBUTE.int:
          int = field.int()
          break
        case ATTRIBUTE.ints:
          if (name === 'axes') this.#ints(field, ints)
          break
        case ATTRIBUTE.tensor:
          once(field, seen)
          this.#remember(output, this.#tensor(field), scope)
          break
        case ATTRIBUTE.tensors:
          this.#remember(output, this.#tensor(field), scope)
          break
        case ATTRIBUTE.graph:
          once(field, seen)
          this.#graph(field, depth + 1, scope)
          break
        case ATTRIBUTE.graphs:
          this.#graph(field, depth + 1, scope)
          break
        case ATTRIBUTE.sparseTensor:
          once(field, seen)
          this.#sparseTensor(field)
          break
        case ATTRIBUTE.sparseTensors:
          this.#sparseTensor(field)
          break
      }
    }
    if (name === 'axes') node.axes = ints
    else if (name === 'axis') node.axis = int
    else if (name === 'training_mode') node.isTraining = int === 1
  }

  #ints(field: FieldCursor, into: number[]): void {
    field.expect(WIRE.varint, WIRE.bytes)
    if (field.wire === WIRE.varint) into.push(field.value)
    else for (const value of packedVarints(this.#window, field.payload, field.end)) into.push(Number(value))
  }

  #tensor(of: FieldCursor): TensorHeader {
    const { payload, end } = of.expect(WIRE.bytes)
    const tensor = readTensor(this.#window, payload, end)
    this.#files.check(tensor)
    this.#tensorBytes += tensor.bytes ?? end - payload
    return tensor
  }

  #sparseTensor(of: FieldCursor): string {
    let name = ''
    const seen = new Set<number>()
    const field = this.#message(of)
    while (field.next()) {
      if (field.number !== SPARSE_TENSOR.values && field.number !== SPARSE_TENSOR.indices) continue
      once(field, seen)
      const tensor = this.#tensor(field)
      if (field.number === SPARSE_TENSOR.values) name = tensor.name
    }
    return name
  }

  #remember(name: string, tensor: TensorHeader, scope: GraphScope): void {
    const values = constantInts(this.#window, tensor)
    if (values !== undefined) scope.constants.set(name, values)
  }

  #judge(scope: GraphScope): void {
    for (const node of scope.nodes) this.#hazards.judge(node, (name) => constantOf(name, scope))
  }

  #checkDomains(): void {
    for (const operator of this.#operators.keys()) {
      const colon = operator.lastIndexOf(':')
      const domain = operator.slice(0, Math.max(colon, 0))
      const opType = operator.slice(colon + 1)
      if (opType === 'EPContext')
        throw refusal('the model holds an EPContext node, which loads a compiled binary; export it without one')
      if (
        RUNTIME_DOMAINS.includes(domain) ||
        this.#limits.extraDomains.includes(domain) ||
        this.#functions.has(operator)
      )
        continue
      throw refusal(
        `operator ${printable(opType)} is of the domain '${printable(domain)}', which the engine does not have; export it to standard operators`,
      )
    }
  }
}

/** Other readers merge what comes twice where one is allowed, into something that nobody looked at. @throws WireError */
function once(field: FieldCursor, seen: Set<number>): void {
  if (seen.has(field.number)) throw repeated(`field ${field.number}`, field)
  seen.add(field.number)
}

function repeated(what: string, field: FieldCursor): WireError {
  return new WireError(`a second ${what} at byte ${field.start} where there is one`)
}

function emptyScope(outer: GraphScope | undefined): GraphScope {
  return {
    outer,
    nodes: [],
    calls: outer?.calls ?? new Map(),
    constants: new Map(),
    initializers: new Set(),
    inputs: [],
    outputs: [],
  }
}

function emptyNode(): NodeFacts {
  return { opType: '', domain: '', inputs: [], axes: undefined, axis: undefined, isTraining: false }
}

/** The constant of a name that the scope sees: its own, or the nearest outer one. */
function constantOf(name: string, from: GraphScope): readonly number[] | undefined {
  for (let scope: GraphScope | undefined = from; scope !== undefined; scope = scope.outer) {
    const values = scope.constants.get(name)
    if (values !== undefined) return values
  }
  return undefined
}

function operatorName(domain: string, opType: string): string {
  return domain === '' || domain === 'ai.onnx' ? opType : `${domain}:${opType}`
}

/** Inputs that have an initializer are defaults that nobody sends. */
function signatureOf(graph: GraphScope): Signature {
  const inputs: TensorSpec[] = graph.inputs.filter((input) => !graph.initializers.has(input.name)).map(inputSpec)
  const outputs: TensorSpec[] = graph.outputs.map(outputSpec)
  if (outputs.length === 0) throw refusal('the model has no outputs')
  return { inputs, outputs }
}

function checkVersions(irVersion: number, opsets: ReadonlyMap<string, number>): void {
  if (irVersion > MAX_IR_VERSION)
    throw refusal(
      `the model has ir_version ${irVersion}, the engine reads up to ${MAX_IR_VERSION}; export it for an older version of ONNX`,
    )
  for (const [domain, version] of opsets) {
    const newest = MAX_OPSETS[domain]
    if (newest !== undefined && version > newest) {
      throw refusal(
        `the model wants opset ${version} of '${domain === '' ? 'ai.onnx' : domain}', the engine has up to ${newest}; export it with opset_version=${newest}`,
      )
    }
  }
}
