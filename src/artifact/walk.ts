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
import type { NodeFacts } from './walk-node.ts'
import { HazardCollector, isSuspect } from './walk-node.ts'
import type { DeclaredValue } from './walk-signature.ts'
import { inputSpec, outputSpec, readValueInfo } from './walk-signature.ts'
import type { TensorHeader } from './walk-tensor.ts'
import { constantInts, readTensor } from './walk-tensor.ts'
import type { ByteWindow } from './wire.ts'
import { FieldCursor, packedVarints, WIRE, WireError } from './wire.ts'

const MAX_NESTING = 64

export interface WalkLimits {
  /** Nodes of all graphs and functions together. */
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
  /** Bytes of all stored tensors in raw form, external ones included. */
  readonly tensorBytes: number
  /** Why rows of a batch may depend on each other; empty: nothing speaks against stacking. */
  readonly batchHazards: readonly string[]
}

/** @throws GatewayError ARTIFACT_INVALID */
export function walkModel(window: ByteWindow, files: ExternalFiles, limits: WalkLimits): ModelFacts {
  try {
    return new ModelWalk(window, files, limits).walk()
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    throw refusal(
      `the file is not a whole ONNX model: ${error.message}; it may be cut, or something else than ONNX`,
      undefined,
      error,
    )
  }
}

/** Names and constants of the graph under way, and of those around it for look-ups. */
interface GraphScope {
  readonly nodes: NodeFacts[]
  readonly constants: Map<string, readonly number[]>
  readonly initializers: Set<string>
  readonly inputs: DeclaredValue[]
  readonly outputs: DeclaredValue[]
}

class ModelWalk {
  readonly #window: ByteWindow
  readonly #files: ExternalFiles
  readonly #limits: WalkLimits
  readonly #operators = new Map<string, number>()
  readonly #functions = new Set<string>()
  readonly #hazards = new HazardCollector()
  #nodes = 0
  #tensorBytes = 0

  constructor(window: ByteWindow, files: ExternalFiles, limits: WalkLimits) {
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
      if (field.number === MODEL.irVersion && field.wire === WIRE.varint) irVersion = field.value
      else if (field.number === MODEL.graph && field.wire === WIRE.bytes)
        graph = this.#graph(field.payload, field.end, 1, new Map())
      else if (field.number === MODEL.opsetImport && field.wire === WIRE.bytes) this.#opset(field, opsets)
      else if (field.number === MODEL.functions && field.wire === WIRE.bytes) this.#function(field.payload, field.end)
    }
    if (graph === undefined || irVersion === 0 || opsets.size === 0) {
      const missing = graph === undefined ? 'graph' : irVersion === 0 ? 'ir_version' : 'opset_import'
      throw refusal(`the file is not an ONNX model: it has no ${missing}`)
    }
    checkVersions(irVersion, opsets)
    this.#checkDomains()
    return {
      signature: signatureOf(graph),
      irVersion,
      opsets: Object.fromEntries(opsets),
      operators: Object.fromEntries(this.#operators),
      nodes: this.#nodes,
      tensorBytes: this.#tensorBytes,
      batchHazards: this.#hazards.hazards,
    }
  }

  #opset(of: FieldCursor, opsets: Map<string, number>): void {
    let domain = ''
    let version = 0
    const field = new FieldCursor(this.#window, of.payload, of.end)
    while (field.next()) {
      if (field.number === OPSET_ID.domain) domain = field.text()
      else if (field.number === OPSET_ID.version) version = field.value
    }
    opsets.set(domain, version)
  }

  #function(start: number, end: number): void {
    let name = ''
    let domain = ''
    const scope = emptyScope(new Map())
    const field = new FieldCursor(this.#window, start, end)
    while (field.next()) {
      if (field.number === FUNCTION.name) name = field.text()
      else if (field.number === FUNCTION.domain) domain = field.text()
      else if (field.number === FUNCTION.node) this.#node(field.payload, field.end, 2, scope)
    }
    this.#functions.add(operatorName(domain, name))
    this.#judge(scope)
  }

  #graph(start: number, end: number, depth: number, outer: ReadonlyMap<string, readonly number[]>): GraphScope {
    if (depth > MAX_NESTING) throw refusal(`the model nests graphs deeper than ${MAX_NESTING} messages; simplify it`)
    const scope = emptyScope(outer)
    const field = new FieldCursor(this.#window, start, end)
    while (field.next()) {
      switch (field.number) {
        case GRAPH.node:
          this.#node(field.payload, field.end, depth + 1, scope)
          break
        case GRAPH.initializer: {
          const tensor = this.#tensor(field.payload, field.end)
          scope.initializers.add(tensor.name)
          this.#remember(tensor.name, tensor, scope)
          break
        }
        case GRAPH.sparseInitializer:
          scope.initializers.add(this.#sparseTensor(field.payload, field.end))
          break
        case GRAPH.input:
          scope.inputs.push(readValueInfo(this.#window, field.payload, field.end))
          break
        case GRAPH.output:
          scope.outputs.push(readValueInfo(this.#window, field.payload, field.end))
          break
      }
    }
    this.#judge(scope)
    return scope
  }

  #node(start: number, end: number, depth: number, scope: GraphScope): void {
    this.#nodes++
    if (this.#nodes > this.#limits.maxNodes)
      throw refusal(`the model has more than ${this.#limits.maxNodes} nodes; raise artifact.maxNodes if that is meant`)
    const node: NodeFacts = { opType: '', domain: '', inputs: [], axes: undefined, axis: undefined, isTraining: false }
    let output = ''
    const field = new FieldCursor(this.#window, start, end)
    while (field.next()) {
      if (field.number === NODE.input) node.inputs.push(field.text())
      else if (field.number === NODE.output && output === '') output = field.text()
      else if (field.number === NODE.opType) node.opType = field.text()
      else if (field.number === NODE.domain) node.domain = field.text()
      else if (field.number === NODE.attribute) this.#attribute(field, depth + 1, node, output, scope)
    }
    const name = operatorName(node.domain, node.opType)
    this.#operators.set(name, (this.#operators.get(name) ?? 0) + 1)
    // Kept until the graph's constants are known; a model of a million ordinary nodes keeps none.
    if (isSuspect(node)) scope.nodes.push(node)
  }

  #attribute(of: FieldCursor, depth: number, node: NodeFacts, output: string, scope: GraphScope): void {
    let name = ''
    let int: number | undefined
    const ints: number[] = []
    const field = new FieldCursor(this.#window, of.payload, of.end)
    while (field.next()) {
      switch (field.number) {
        case ATTRIBUTE.name:
          name = field.text()
          break
        case ATTRIBUTE.int:
          int = field.value
          break
        case ATTRIBUTE.ints:
          if (name === 'axes') this.#ints(field, ints)
          break
        case ATTRIBUTE.tensor:
        case ATTRIBUTE.tensors:
          this.#remember(output, this.#tensor(field.payload, field.end), scope)
          break
        case ATTRIBUTE.graph:
        case ATTRIBUTE.graphs:
          this.#graph(field.payload, field.end, depth + 1, scope.constants)
          break
        case ATTRIBUTE.sparseTensor:
        case ATTRIBUTE.sparseTensors:
          this.#sparseTensor(field.payload, field.end)
          break
      }
    }
    if (name === 'axes') node.axes = ints
    else if (name === 'axis') node.axis = int
    else if (name === 'training_mode') node.isTraining = int === 1
  }

  #ints(field: FieldCursor, into: number[]): void {
    if (field.wire === WIRE.varint) into.push(field.value)
    else for (const value of packedVarints(this.#window, field.payload, field.end)) into.push(Number(value))
  }

  #tensor(start: number, end: number): TensorHeader {
    const tensor = readTensor(this.#window, start, end)
    this.#files.check(tensor)
    this.#tensorBytes += tensor.bytes ?? end - start
    return tensor
  }

  #sparseTensor(start: number, end: number): string {
    let name = ''
    const field = new FieldCursor(this.#window, start, end)
    while (field.next()) {
      if (field.number === SPARSE_TENSOR.values) name = this.#tensor(field.payload, field.end).name
      else if (field.number === SPARSE_TENSOR.indices) this.#tensor(field.payload, field.end)
    }
    return name
  }

  #remember(name: string, tensor: TensorHeader, scope: GraphScope): void {
    const values = constantInts(this.#window, tensor)
    if (values !== undefined) scope.constants.set(name, values)
  }

  #judge(scope: GraphScope): void {
    for (const node of scope.nodes) this.#hazards.judge(node, scope.constants)
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

function emptyScope(outer: ReadonlyMap<string, readonly number[]>): GraphScope {
  return { nodes: [], constants: new Map(outer), initializers: new Set(), inputs: [], outputs: [] }
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
